#include "common/config/key_table.h"

#include <limits>

#include "common/config/section_builder.h"

namespace ballast {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();
constexpr KeyRange kAny{};
constexpr KeyRange kPositive{0, kNoLimit, true, false};
constexpr KeyRange kNotNegative{0, kNoLimit, false, false};
// More would be a mistake; a block of 2^30 rows still counts its samples in 64 bits.
constexpr KeyRange kRate{0, 1e6, true, false};
constexpr KeyRange kShare{0, 1, false, false};
constexpr KeyRange kDeviceShare{0, 1, true, false};
constexpr KeyRange kBelowOne{0, 1, false, true};
// Steps and milliseconds: far beyond any job, far below any overflow.
constexpr KeyRange kCount{0, 1e12, false, false};
constexpr KeyRange kSomeMs{1, 1e9, false, false};

Section job_section() {
  return SectionBuilder<JobConfig>(
             "job", false, [](JobConfig& job, size_t) -> JobConfig& { return job; }, "what is run")
      .text("name", &JobConfig::name,
            "names the run directory runs/<name>/<time>; letters, digits, '.', '_', '-'")
      .example("\"reference\"")
      .integer("seed", &JobConfig::seed, {0, 9223372036854775807.0}, "",
               "seed of the first weights, the order of samples and dropout")
      .fixes_result(true)
      .take();
}

Section data_section() {
  return SectionBuilder<DataConfig>(
             "data", true, [](JobConfig& job, size_t) -> DataConfig& { return job.data; },
             "what is read; made by `ballast data convert`")
      .text("train", &DataConfig::train,
            "the training set: a folder, relative to where `ballast` is called, or an address "
            "(http://, https://, s3://bucket/prefix)")
      .required()
      .example("\"data/digits/train\"")
      .fixes_result(false)
      .number("rate", &DataConfig::rate, kRate, "samples",
              "of each row of data.train in an epoch: 0.5 takes half of the rows, and next those "
              "that it left out; 2 takes each twice")
      .text("test", &DataConfig::test, "the test set, a folder or an address; empty: no evaluation")
      .example("\"data/digits/test\"")
      .fixes_result(false)
      .texts("features", &DataConfig::features,
             "columns that are joined, in this order, into the model's input")
      .required()
      .example("[\"pixels\", \"channel\"]")
      .text("label", &DataConfig::label, "column the model learns to predict")
      .required()
      .example("\"label\"")
      .text("weight", &DataConfig::weight,
            "column of sample weights, 0 or more, one a row, of train and test; empty: every row "
            "weighs 1")
      .example("\"\"")
      .choice("balance", &DataConfig::balance,
              "what is done about classes of unlike size while training; weights: a row of class c "
              "weighs samples / (classes * samples of c), by the rates and counted before filters, "
              "so that every class weighs the same; oversample: an epoch has as many samples of "
              "every class as of the largest; undersample: as of the smallest; neither with a "
              "filter, unless it is of data.label")
      .choice("order", &DataConfig::order,
              "full: the rows of an epoch in a new random order, held in memory; strip: streamed, "
              "each lane mixing `window` random blocks at a time; none: as stored, held in memory; "
              "auto: full where data.memory_mib allows, else strip")
      .integer("window", &DataConfig::window, {0, 4096}, "blocks",
               "order strip: how many blocks a lane mixes; 0: as many as data.memory_mib allows, 2 "
               "to 64")
      .choice(
          "tail", &DataConfig::tail,
          "the last batch of an epoch, where batch does not divide the rows; short: fewer rows; "
          "pad: rows that weigh 0 fill it up; drop: it is left out, and with it other rows in "
          "each epoch where the order changes")
      .integer(
          "memory_mib", &DataConfig::memory_mib, {1, 1 << 24}, "MiB",
          "memory one worker may use for decoded data; blocks of streamed rows are kept in what "
          "is left of it")
      .fixes_result(false)
      .integer("threads", &DataConfig::threads, {0, 256}, "threads",
               "loader threads of one worker; 0: half of the cores, shared by the workers, 1 to 8")
      .fixes_result(false)
      .text("cache", &DataConfig::cache,
            "folder in which blocks that came from an address are kept, for all workers of this "
            "machine and for later jobs; empty: nothing is kept")
      .fixes_result(false)
      .integer("cache_mib", &DataConfig::cache_mib, {1, 1 << 30}, "MiB",
               "the most that data.cache may hold")
      .fixes_result(false)
      .text("ca_file", &DataConfig::ca_file,
            "https: file of certificates to trust, PEM; empty: those of the system")
      .fixes_result(false)
      .text("proxy", &DataConfig::proxy,
            "addresses are reached through this proxy, http://host:port; empty: none, whatever the "
            "environment says")
      .fixes_result(false)
      .take();
}

Section mix_section() {
  return SectionBuilder<MixConfig>(
             "data.mix", true,
             [](JobConfig& job, size_t index) -> MixConfig& { return job.data.mix[index]; },
             "more training rows, mixed with those of data.train; not for data.test")
      .repeated([](JobConfig & job) -> auto& { return job.data.mix; }, {""})
      .text("train", &MixConfig::train,
            "a data set, a folder or an address, with the columns that the job uses")
      .required()
      .example("\"data/digits/more\"")
      .fixes_result(false)
      .number("rate", &MixConfig::rate, kRate, "samples",
              "of each of its rows in an epoch, as data.rate")
      .take();
}

Section s3_section() {
  return SectionBuilder<S3Config>(
             "data.s3", false, [](JobConfig& job, size_t) -> S3Config& { return job.data.s3; },
             "how s3:// data sets are reached; credentials are in the environment or ~/.aws")
      .text("endpoint", &S3Config::endpoint,
            "http://host:port of a store that speaks S3; empty: Amazon's")
      .text("region", &S3Config::region, "empty: the profile's, else us-east-1")
      .text(
          "profile", &S3Config::profile,
          "profile of ~/.aws whose credentials are used; empty: the environment, then AWS_PROFILE, "
          "then default; without any, requests are not signed")
      .take();
}

Section transform_section() {
  return SectionBuilder<TransformConfig>(
             "data.transform", true,
             [](JobConfig& job, size_t index) -> TransformConfig& {
               return job.data.transforms[index];
             },
             "what is done to a column after reading, in the order of the file")
      .repeated([](JobConfig & job) -> auto& { return job.data.transforms; },
                {"scale", "standardize", "log1p", "clip", "bucketize", "hash", "one_hot",
                 "multi_hot", "pad", "cross", "filter", "random_crop", "random_flip",
                 "random_rotate", "random_shift", "noise", "token_dropout"})
      .choice("kind", &TransformConfig::kind,
              "scale: x * factor + shift; standardize: (x - mean) / std; log1p: log(1 + x), of x < "
              "0 -log(1 - x); clip: into [low, high]; bucketize: how many boundaries are <= x; "
              "hash: whole numbers to ids; one_hot: classes as zeros and a one; cross: several "
              "columns to one id; multi_hot: of a list how often each class is in it; pad: of a "
              "list its first items; filter: other rows weigh 0; while training only: random_crop, "
              "random_flip, random_rotate, random_shift of pictures, noise, token_dropout")
      .required()
      .text("column", &TransformConfig::column,
            "a column of data.features, or data.label; cross: the name of the new column; filter: "
            "any column")
      .required()
      .example("\"pixels\"")
      .number("factor", &TransformConfig::factor, kAny, "", "x becomes x * factor + shift")
      .of({"scale"})
      .example("0.0625")
      .number("shift", &TransformConfig::shift, kAny, "", "added after the factor")
      .of({"scale"})
      .numbers("mean", &TransformConfig::mean, kAny,
               "x becomes (x - mean) / std; one value, or one for each value of the column")
      .of({"standardize"})
      .required()
      .example("[0.3]")
      .numbers("std", &TransformConfig::std, kPositive,
               "standard deviation; as many values as mean")
      .of({"standardize"})
      .required()
      .example("[0.37]")
      .integer("classes", &TransformConfig::classes, {2, 1 << 24}, "classes",
               "an integer from 0 to classes - 1 becomes that many zeros and a one; a list of "
               "them as many counts")
      .of({"one_hot", "multi_hot"})
      .required()
      .example("4")
      .text("values", &TransformConfig::values,
            "a column of lists as long as those of column: the values that are added up at each "
            "class; empty: each class counts 1")
      .of({"multi_hot"})
      .integer("items", &TransformConfig::items, {1, 1 << 24}, "items",
               "a list becomes its first items, so many; other transforms of the column come after")
      .of({"pad"})
      .required()
      .example("8")
      .number("low", &TransformConfig::low, kAny, "", "smaller values become it")
      .of({"clip"})
      .required()
      .example("0")
      .number("high", &TransformConfig::high, kAny, "", "larger values become it")
      .of({"clip"})
      .required()
      .example("1")
      .numbers("boundaries", &TransformConfig::boundaries, kAny,
               "ascending; n of them make the buckets 0 to n")
      .of({"bucketize"})
      .required()
      .example("[18, 30, 65]")
      .texts("columns", &TransformConfig::columns,
             "two or more columns with one whole number a row, after their transforms further up")
      .of({"cross"})
      .required()
      .example("[\"channel\", \"hour\"]")
      .integer("buckets", &TransformConfig::buckets, {1, 1u << 31}, "ids",
               "ids are from 0 to buckets - 1: XXH3-64 of the numbers, 8 little-endian bytes each, "
               "modulo buckets")
      .of({"hash", "cross"})
      .required()
      .example("1000")
      .integer("seed", &TransformConfig::hash_seed, {0, 9223372036854775807.0}, "",
               "seed of XXH3-64")
      .of({"hash", "cross"})
      .choice("relation", &TransformConfig::relation,
              "rows in which the column does not stand in it to value weigh 0")
      .of({"filter"})
      .required()
      .number("value", &TransformConfig::value, kAny, "", "what the column is compared with")
      .of({"filter"})
      .required()
      .example("0")
      .numbers("shape", &TransformConfig::shape, {1, 65536, false, false},
               "of a picture: [height, width], or three with channels as layout says; empty: the "
               "column's")
      .of({"random_crop", "random_flip", "random_rotate", "random_shift"})
      .choice("layout", &TransformConfig::layout,
              "hwc: a pixel's channels stand together; chw: a channel's pixels do")
      .of({"random_crop", "random_flip", "random_rotate", "random_shift"})
      .integer("padding", &TransformConfig::padding, {1, 1024}, "pixels",
               "cut out at random, as large as before, after adding so many on each side")
      .of({"random_crop"})
      .required()
      .example("4")
      .number("degrees", &TransformConfig::degrees, {0, 180, true, false}, "",
              "turned by at most so much, either way")
      .of({"random_rotate"})
      .required()
      .example("10")
      .number("pixels", &TransformConfig::pixels, {0, 1024, true, false}, "pixels",
              "moved by at most so much, also by parts of a pixel, up or down and left or right")
      .of({"random_shift"})
      .required()
      .example("1")
      .number("fill", &TransformConfig::fill, kAny, "",
              "every value of the items a list lacks; what comes in from outside of a picture")
      .of({"pad", "random_crop", "random_rotate", "random_shift"})
      .number("probability", &TransformConfig::probability, kShare, "",
              "chance that left and right change places")
      .of({"random_flip"})
      .number("sigma", &TransformConfig::sigma, kPositive, "",
              "standard deviation of what is added to each value")
      .of({"noise"})
      .required()
      .example("0.1")
      .number("rate", &TransformConfig::rate, kShare, "", "share of the ids that are replaced")
      .of({"token_dropout"})
      .required()
      .example("0.1")
      .integer("unknown", &TransformConfig::unknown,
               {-9223372036854775807.0, 9223372036854775807.0}, "", "the id that takes their place")
      .of({"token_dropout"})
      .take();
}

Section model_section() {
  return SectionBuilder<ModelConfig>(
             "model", true, [](JobConfig& job, size_t) -> ModelConfig& { return job.model; },
             "what is trained")
      .choice("loss", &ModelConfig::loss,
              "softmax_cross_entropy: one of several classes; sigmoid_cross_entropy: yes or no; "
              "mean_squared_error: a number")
      .take();
}

Section layer_section() {
  return SectionBuilder<LayerConfig>(
             "layer", true,
             [](JobConfig& job, size_t index) -> LayerConfig& { return job.model.layers[index]; },
             "the layers, from the input to the output")
      .repeated([](JobConfig & job) -> auto& { return job.model.layers; },
                {"dense", "layer_norm", "dropout", "dense"})
      .choice("kind", &LayerConfig::kind,
              "dense: activation(x W + b); dropout: some values become 0 while training; "
              "layer_norm: each row to mean 0 and variance 1, then times a gain plus a bias")
      .required()
      .integer("units", &LayerConfig::units, {1, 1 << 20}, "units", "width of the output")
      .of({"dense"})
      .required()
      .example("10")
      .choice("activation", &LayerConfig::activation,
              "applied to the output; the last layer of a cross entropy has none")
      .of({"dense"})
      .boolean("bias", &LayerConfig::bias, "whether b is there")
      .of({"dense"})
      .number("rate", &LayerConfig::rate, kBelowOne, "",
              "share of the values set to 0 while training; the others grow by 1 / (1 - rate)")
      .of({"dropout"})
      .required()
      .example("0.1")
      .number("epsilon", &LayerConfig::epsilon, kPositive, "",
              "added to the variance before the square root")
      .of({"layer_norm"})
      .take();
}

Section train_section() {
  return SectionBuilder<TrainConfig>(
             "train", true, [](JobConfig& job, size_t) -> TrainConfig& { return job.train; },
             "how it is trained")
      .choice("mode", &TrainConfig::mode,
              "sync: all lanes step together, same bits for any cluster; ssp: a lane may lead by "
              "`staleness` steps; async: no lane waits")
      .integer("staleness", &TrainConfig::staleness, {0, 1000000}, "steps",
               "ssp: how many steps a lane may lead the slowest one")
      .integer("epochs", &TrainConfig::epochs, {1, 1000000}, "epochs",
               "how often every sample is seen")
      .integer("batch", &TrainConfig::batch, {1, 1 << 24}, "samples",
               "samples per step over all lanes, with local_steps per batch; a multiple of lanes")
      .integer(
          "lanes", &TrainConfig::lanes, {0, 65536}, "lanes",
          "streams of samples, shared out among the workers, fixed for a job; 0: sync takes "
          "the power of two >= workers, ssp and async 8 x workers, moved to a divisor of batch")
      .integer("eval_every_epochs", &TrainConfig::eval_every_epochs, {0, 1000000}, "epochs",
               "epochs between two evaluations on data.test; 0: only at the end")
      .fixes_result(false)
      .choice("precision", &TrainConfig::precision,
              "what the factors of matrix products on a GPU are rounded to; sums, weights and "
              "everything else are fp32: fp32: not at all; tf32: 10 bits; bf16: 7 bits")
      .boolean("scale_by_share", &TrainConfig::scale_by_share,
               "ssp, async: a push moves by its share of what the step's samples weigh")
      .boolean("scale_by_staleness", &TrainConfig::scale_by_staleness,
               "async, ssp: a gradient that is s versions old counts 1 / (1 + s)")
      .choice("on_bad_gradient", &TrainConfig::on_bad_gradient,
              "what a NaN or an infinity in a step does: stop names worker, step and rows; skip "
              "leaves the step out; one in an evaluation always ends the job")
      .integer("max_steps", &TrainConfig::max_steps, kCount, "steps",
               "stop after so many steps of each lane; 0: all epochs")
      .fixes_result(false)
      .boolean("replan_lanes", &TrainConfig::replan_lanes,
               "async, ssp: slow workers hand lanes to fast ones")
      .fixes_result(false)
      .integer("steps_in_flight", &TrainConfig::steps_in_flight, {1, 8}, "steps",
               "async, ssp: steps of a worker that are computed before the first of them is "
               "answered; 2: push and pull go on while the next step is computed, from weights "
               "that lack the one before; in ssp at most staleness + 1")
      .integer("local_steps", &TrainConfig::local_steps, {1, 65536}, "batches",
               "batches of a step: a lane pushes and pulls once after so many (the last step of an "
               "epoch may have fewer); everything that counts steps counts these")
      .choice("push", &TrainConfig::push,
              "gradient: of all batches of a step, for the optimizer on the servers; delta: the "
              "optimizer takes a local step after every batch, its state begins anew in each step, "
              "and the servers add what the weights changed by")
      .take();
}

Section optimizer_section() {
  return SectionBuilder<OptimizerConfig>(
             "train.optimizer", true,
             [](JobConfig& job, size_t) -> OptimizerConfig& { return job.train.optimizer; },
             "what turns gradients into steps; runs where train.push says")
      .choice("kind", &OptimizerConfig::kind, "the rule")
      .number("learning_rate", &OptimizerConfig::learning_rate, kPositive, "", "size of a step")
      .number("momentum", &OptimizerConfig::momentum, kBelowOne, "", "share of the last step kept")
      .of({"momentum", "nesterov"})
      .number("beta1", &OptimizerConfig::beta1, kBelowOne, "", "decay of the mean gradient")
      .of({"adam", "adamw"})
      .number("beta2", &OptimizerConfig::beta2, kBelowOne, "", "decay of the mean square")
      .of({"adam", "adamw"})
      .number("rho", &OptimizerConfig::rho, kBelowOne, "", "decay of the mean square")
      .of({"rmsprop"})
      .number("epsilon", &OptimizerConfig::epsilon, kPositive, "",
              "added to the root of the mean square")
      .of({"adagrad", "rmsprop", "adam", "adamw"})
      .number("weight_decay", &OptimizerConfig::weight_decay, kNotNegative, "",
              "pulls weights (not biases and norms) to 0; adamw: apart from the gradient, others: "
              "added to it")
      .number("clip_value", &OptimizerConfig::clip_value, kNotNegative, "",
              "every gradient value is held in +-clip_value; 0: no limit")
      .take();
}

Section schedule_section() {
  return SectionBuilder<ScheduleConfig>(
             "train.schedule", true,
             [](JobConfig& job, size_t) -> ScheduleConfig& { return job.train.schedule; },
             "how the learning rate changes; a step is batch x local_steps samples")
      .choice("kind", &ScheduleConfig::kind,
              "constant; step: times factor every every_steps; cosine: down to floor")
      .integer("warmup_steps", &ScheduleConfig::warmup_steps, kCount, "steps",
               "steps of linear growth from 0 before any kind; 0: none")
      .integer("every_steps", &ScheduleConfig::every_steps, {1, 1e12}, "steps",
               "steps between two factors")
      .of({"step"})
      .required()
      .example("1000")
      .number("factor", &ScheduleConfig::factor, kPositive, "", "of each fall")
      .of({"step"})
      .integer("decay_steps", &ScheduleConfig::decay_steps, kCount, "steps",
               "steps from 1 down to floor; 0: all epochs, whatever max_steps")
      .of({"cosine"})
      .number("floor", &ScheduleConfig::floor, kShare, "", "the last factor")
      .of({"cosine"})
      .take();
}

Section cluster_section() {
  return SectionBuilder<ClusterConfig>(
             "cluster", false, [](JobConfig& job, size_t) -> ClusterConfig& { return job.cluster; },
             "on what it runs; may change when a job is resumed, but for unit_bytes")
      .integer("servers", &ClusterConfig::servers, {1, 1024}, "processes",
               "processes that hold the weights")
      .integer("shards_per_server", &ClusterConfig::shards_per_server, {1, 64}, "threads",
               "threads of a server, each with its own part of the weights")
      .integer("workers", &ClusterConfig::workers, {1, 4096}, "processes",
               "processes that compute gradients; at most train.lanes")
      .integer("feeders", &ClusterConfig::feeders, {0, 1024}, "processes",
               "processes that read and transform training rows for the workers; workers read for "
               "themselves what no feeder gives")
      .texts("feeder_hosts", &ClusterConfig::feeder_hosts,
             "tcp: addresses that feeders listen on, taken in turn; empty: host. Those elsewhere "
             "than on host are started by hand: ballast-feeder --run-dir DIR --index N")
      .choice("device", &ClusterConfig::device, "what a worker computes on")
      .integer("devices", &ClusterConfig::devices, {0, 1024}, "GPUs",
               "cuda: worker n computes on GPU n mod devices of its host; 0: all that it sees")
      .number("device_memory", &ClusterConfig::device_memory, kDeviceShare, "",
              "cuda: share of a GPU's memory that one worker may take; several on one GPU share it")
      .integer("threads_per_worker", &ClusterConfig::threads_per_worker, {1, 1024}, "threads",
               "threads of one worker's matrix products")
      .choice("transport", &ClusterConfig::transport,
              "ipc: sockets in the run directory; tcp: host and port")
      .text("host", &ClusterConfig::host, "tcp: address that servers and the coordinator listen on")
      .integer("port", &ClusterConfig::port, {0, 65535}, "",
               "tcp: the coordinator's port, the shards' follow, then the feeders'; 0: 7700")
      .integer("heartbeat_ms", &ClusterConfig::heartbeat_ms, kSomeMs, "ms",
               "time between two signs of life")
      .integer("dead_after_ms", &ClusterConfig::dead_after_ms, kSomeMs, "ms",
               "silence after which a process counts as dead")
      .integer("stuck_after_ms", &ClusterConfig::stuck_after_ms, kSomeMs, "ms",
               "time without progress after which a living process is named in log and status, "
               "and a worker ends that hears nothing from the coordinator either")
      .integer("join_deadline_ms", &ClusterConfig::join_deadline_ms, kSomeMs, "ms",
               "start: how long to wait for every process")
      .integer("unit_bytes", &ClusterConfig::unit_bytes, {64, 1 << 30}, "bytes",
               "largest part of a tensor that is placed and sent as one")
      .fixes_result(true)
      .take();
}

Section checkpoint_section() {
  return SectionBuilder<CheckpointConfig>(
             "checkpoint", false,
             [](JobConfig& job, size_t) -> CheckpointConfig& { return job.checkpoint; },
             "what survives a failure")
      .integer("every_steps", &CheckpointConfig::every_steps, kCount, "steps",
               "steps between two checkpoints; 0: only at the end and on Ctrl-C")
      .integer("keep", &CheckpointConfig::keep, {1, 1000}, "checkpoints",
               "newest checkpoints that are kept")
      .choice("durability", &CheckpointConfig::durability,
              "what an acknowledged push survives: checkpoint: nothing, the job goes back to the "
              "last one; process: kill -9; machine: power loss")
      .take();
}

Section fault_section() {
  return SectionBuilder<FaultConfig>(
             "fault", false, [](JobConfig& job, size_t) -> FaultConfig& { return job.fault; },
             "disturbances on purpose, for benches and tests")
      .integer("slow_worker", &FaultConfig::slow_worker, {-1, 4095}, "",
               "this worker computes slow_factor times slower; -1: none")
      .number("slow_factor", &FaultConfig::slow_factor, {1, 1000}, "", "how much slower")
      .number("pause_chance", &FaultConfig::pause_chance, kShare, "",
              "chance that a worker pauses, per step")
      .integer("pause_ms", &FaultConfig::pause_ms, {0, 1e9}, "ms", "length of a pause")
      .integer("move_lane_every_steps", &FaultConfig::move_lane_every_steps, {0, 1e12}, "steps",
               "one lane goes on to another worker so often; 0: never")
      .take();
}

Section trace_section() {
  return SectionBuilder<TraceConfig>(
             "trace", false, [](JobConfig& job, size_t) -> TraceConfig& { return job.trace; },
             "which steps `ballast run --trace` shows")
      .integer("first_step", &TraceConfig::first_step, kCount, "",
               "the first step that is traced; of a job that is resumed behind it, the first that "
               "is done")
      .integer("steps", &TraceConfig::steps, {1, 1e12}, "steps",
               "how many; a process writes 64 MiB at most, whatever this says")
      .take();
}

Section resolved_section() {
  return SectionBuilder<ResolvedConfig>(
             "resolved", true,
             [](JobConfig& job, size_t) -> ResolvedConfig& { return job.resolved; },
             "what only the data can tell; written at the start of a job, not by people")
      .by_tool()
      .text("run", &ResolvedConfig::run,
            "random, new at every start and resume; processes of another run are refused")
      .fixes_result(false)
      .integer("train_rows", &ResolvedConfig::train_rows, {0, 9e18}, "rows",
               "of data.train and data.mix together")
      .integer("epoch_samples", &ResolvedConfig::epoch_samples, {0, 9e18}, "samples",
               "that an epoch takes of them; 0: each row once")
      .fixes_result(false)
      .integer("test_rows", &ResolvedConfig::test_rows, {0, 9e18}, "rows", "of data.test")
      .integer("input_width", &ResolvedConfig::input_width, {0, 1 << 30}, "values",
               "the features after all transforms")
      .integer("label_width", &ResolvedConfig::label_width, {1, 1 << 30}, "values", "of a label")
      .integer("stored_bytes", &ResolvedConfig::stored_bytes, {0, 9e18}, "bytes",
               "of a row's features in a batch, where they stay as they are stored until a device "
               "makes floats of them; 0: they are floats")
      .fixes_result(false)
      .integer("train_row_bytes", &ResolvedConfig::train_row_bytes, {0, 9e18}, "bytes",
               "of a row of the training sets in memory, as stored")
      .fixes_result(false)
      .integer("test_row_bytes", &ResolvedConfig::test_row_bytes, {0, 9e18}, "bytes",
               "of a row of data.test in memory, as stored")
      .fixes_result(false)
      .integer("train_blocks", &ResolvedConfig::train_blocks, {0, 9e18}, "blocks",
               "of the training sets")
      .fixes_result(false)
      .integer("test_blocks", &ResolvedConfig::test_blocks, {0, 9e18}, "blocks", "of data.test")
      .fixes_result(false)
      .integer("train_columns", &ResolvedConfig::train_columns, {0, 4e9}, "columns",
               "of the training sets that are read")
      .fixes_result(false)
      .integer("train_block_rows", &ResolvedConfig::train_block_rows, {0, 9e18}, "rows",
               "of its block with most rows")
      .fixes_result(false)
      .integer("train_block_samples", &ResolvedConfig::train_block_samples, {0, 9e18}, "samples",
               "that an epoch takes of one block, at most; 0: as many as it has rows")
      .fixes_result(false)
      .integer("train_block_bytes", &ResolvedConfig::train_block_bytes, {0, 9e18}, "bytes",
               "of its largest block")
      .fixes_result(false)
      .integer("train_decode_bytes", &ResolvedConfig::train_decode_bytes, {0, 9e18}, "bytes",
               "that reading one of its blocks into memory takes beside the rows; 0: no codecs")
      .fixes_result(false)
      .text("train_manifest_xxh3", &ResolvedConfig::train_manifest_xxh3,
            "hash of the manifests of the training sets")
      .text("test_manifest_xxh3", &ResolvedConfig::test_manifest_xxh3,
            "hash of data.test's manifest")
      .numbers("class_labels", &ResolvedConfig::class_labels, kAny,
               "data.balance: the labels that occur")
      .numbers("class_rows", &ResolvedConfig::class_rows, kNotNegative,
               "how many samples of each an epoch has by the rates, before data.balance")
      .take();
}

}  // namespace

const std::vector<Section>& key_table() {
  static const std::vector<Section> table = {
      job_section(),       data_section(),     mix_section(),     s3_section(),
      transform_section(), model_section(),    layer_section(),   train_section(),
      optimizer_section(), schedule_section(), cluster_section(), checkpoint_section(),
      fault_section(),     trace_section(),    resolved_section()};
  return table;
}

const Section* find_section(std::string_view name) {
  for (const Section& section : key_table()) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

}  // namespace ballast
