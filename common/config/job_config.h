// JobConfig: a job file after parsing, defaults filled in, every value inside its range. Plain
// values; the one table of keys (key_table.cc) says what each means, its unit, range and default.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace ballast {

enum class Mode { kSync, kSsp, kAsync };
enum class Device { kCpu, kCuda };
enum class Order { kAuto, kFull, kStrip, kNone };
enum class Tail { kShort, kPad, kDrop };
enum class Balance { kNone, kWeights, kOversample, kUndersample };
enum class Durability { kCheckpoint, kProcess, kMachine };
enum class Precision { kFp32, kTf32, kBf16 };
enum class OnBadGradient { kStop, kSkip };
enum class PushKind { kGradient, kDelta };
enum class TransportKind { kIpc, kTcp };

enum class LayerKind { kDense, kDropout, kLayerNorm };
enum class Activation { kNone, kRelu, kGelu, kTanh, kSigmoid };
enum class LossKind { kSoftmaxCrossEntropy, kSigmoidCrossEntropy, kMeanSquaredError };
enum class OptimizerKind { kSgd, kMomentum, kNesterov, kAdagrad, kRmsprop, kAdam, kAdamw };
enum class ScheduleKind { kConstant, kStep, kCosine };
enum class TransformKind {
  kScale,
  kStandardize,
  kLog1p,
  kClip,
  kBucketize,
  kHash,
  kOneHot,
  kMultiHot,
  kPad,
  kCross,
  kFilter,
  kRandomCrop,
  kRandomFlip,
  kRandomRotate,
  kRandomShift,
  kNoise,
  kTokenDropout
};
enum class Relation { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
enum class PixelLayout { kHwc, kChw };

struct TransformConfig {
  TransformKind kind = TransformKind::kScale;
  std::string column;
  double factor = 1;  // scale: x * factor + shift
  double shift = 0;
  std::vector<double> mean;  // standardize: (x - mean) / std; one value, or one per feature
  std::vector<double> std;
  uint32_t classes = 0;  // one_hot, multi_hot: width of the result
  std::string values;    // multi_hot: column of lists that is added up; empty: each counts 1
  uint32_t items = 0;    // pad: items a row has afterwards
  double low = 0;        // clip: both ends included
  double high = 0;
  std::vector<double> boundaries;        // bucketize: how many of them are <= x
  uint64_t buckets = 0;                  // hash, cross: ids from 0 to buckets - 1
  uint64_t hash_seed = 0;                // hash, cross
  std::vector<std::string> columns;      // cross
  Relation relation = Relation::kEqual;  // filter: rows that are not so weigh 0
  double value = 0;                      // filter
  std::vector<double> shape;             // pictures; empty: the column's
  PixelLayout layout = PixelLayout::kHwc;
  uint32_t padding = 0;      // random_crop: pixels on each side
  double degrees = 0;        // random_rotate: at most, either way
  double pixels = 0;         // random_shift: at most, in each direction
  double fill = 0;           // pad: every value a list lacks; pictures: what comes in from outside
  double probability = 0.5;  // random_flip
  double sigma = 0;          // noise
  double rate = 0;           // token_dropout: share of the ids
  int64_t unknown = 0;       // token_dropout: what takes their place

  bool operator==(const TransformConfig&) const = default;
};

// Where s3:// data sets lie. Credentials come from the environment or a profile (s3_credentials.h).
struct S3Config {
  std::string endpoint;  // empty: Amazon's
  std::string region;    // empty: the profile's, else us-east-1
  std::string profile;   // empty: AWS_PROFILE or default

  bool operator==(const S3Config&) const = default;
};

// One more set of training rows.
struct MixConfig {
  std::string train;  // folder or address
  double rate = 1;    // samples that an epoch takes of each of its rows

  bool operator==(const MixConfig&) const = default;
};

struct DataConfig {
  std::string train;                  // folder of a chunked data set
  double rate = 1;                    // samples that an epoch takes of each of its rows
  std::string test;                   // empty: no evaluation
  std::vector<std::string> features;  // columns joined in this order into one float row
  std::string label;
  std::string weight;                // a column of sample weights; empty: every row weighs 1
  Balance balance = Balance::kNone;  // training only
  Order order = Order::kAuto;  // kAuto: kFull or kStrip, decided once, when the job is resolved
  uint32_t window = 0;         // order strip: blocks a lane mixes; 0: as many as memory_mib allows
  Tail tail = Tail::kShort;    // lane_schedule.h: the last step of an epoch
  uint64_t memory_mib = 1024;  // budget of one worker's loader
  uint32_t threads = 0;        // loader threads of one worker; 0: chosen when resolved
  std::string cache;  // folder that keeps what came from an address; empty: nothing is kept
  uint64_t cache_mib = 10240;  // the most it may hold
  std::string ca_file;         // certificates to trust, PEM; empty: the system's
  std::string proxy;           // "http://host:port"; empty: none
  S3Config s3;
  std::vector<MixConfig> mix;  // more training rows, beside those of `train`
  std::vector<TransformConfig> transforms;

  // Each class has a number of samples of its own.
  [[nodiscard]] bool samples_classes() const {
    return balance == Balance::kOversample || balance == Balance::kUndersample;
  }
  // An epoch may take a row more or less often than once.
  [[nodiscard]] bool resamples() const {
    const auto uneven = [](const MixConfig& set) { return set.rate != 1; };
    return samples_classes() || rate != 1 || std::any_of(mix.begin(), mix.end(), uneven);
  }

  bool operator==(const DataConfig&) const = default;
};

struct LayerConfig {
  LayerKind kind = LayerKind::kDense;
  uint32_t units = 0;                         // dense: width of the output
  Activation activation = Activation::kNone;  // dense
  bool bias = true;                           // dense
  double rate = 0;                            // dropout: share of values set to 0
  double epsilon = 1e-5;                      // layer_norm

  bool operator==(const LayerConfig&) const = default;
};

struct ModelConfig {
  LossKind loss = LossKind::kSoftmaxCrossEntropy;
  std::vector<LayerConfig> layers;

  bool operator==(const ModelConfig&) const = default;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kSgd;
  double learning_rate = 0.01;
  double momentum = 0.9;  // momentum, nesterov
  double beta1 = 0.9;     // adam, adamw
  double beta2 = 0.999;   // adam, adamw
  double rho = 0.99;      // rmsprop
  double epsilon = 1e-8;
  double weight_decay = 0;  // adamw: decoupled; all others: added to the gradient
  double clip_value = 0;  // 0: no clipping; otherwise every gradient value is held in +-clip_value

  bool operator==(const OptimizerConfig&) const = default;
};

// Learning rate = optimizer.learning_rate * factor(steps), steps = samples_applied / batch, or
// less where a step has several batches.
struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kConstant;
  uint64_t warmup_steps = 0;  // first: step s has (s + 1) / warmup_steps
  uint64_t every_steps = 0;   // step: multiply by `factor` every so many steps
  double factor = 0.1;        // step
  uint64_t decay_steps = 0;   // cosine: steps from 1 down to `floor`; 0: the whole job
  double floor = 0;           // cosine: the last factor

  bool operator==(const ScheduleConfig&) const = default;
};

struct TrainConfig {
  Mode mode = Mode::kSync;
  uint32_t staleness = 4;  // ssp: steps a lane may lead the slowest
  uint32_t epochs = 1;
  uint32_t batch = 128;                    // samples per step, or local step, over all lanes
  uint32_t lanes = 0;                      // 0: chosen by the mode (lane_choice.h)
  uint32_t eval_every_epochs = 1;          // 0: only at the end
  Precision precision = Precision::kFp32;  // of the factors in matrix products on a GPU
  bool scale_by_share = true;       // async, ssp: a push moves by its share of the step's samples
  bool scale_by_staleness = false;  // async: step / (1 + staleness)
  OnBadGradient on_bad_gradient = OnBadGradient::kStop;
  uint64_t max_steps = 0;    // 0: all epochs; otherwise stop after so many steps of each lane
  uint32_t local_steps = 1;  // batches of a step: a lane pushes after so many
  PushKind push = PushKind::kGradient;
  uint32_t steps_in_flight = 1;  // async, ssp: computed before the oldest of them is answered
  bool replan_lanes = true;      // async, ssp: lanes follow measured speed
  OptimizerConfig optimizer;
  ScheduleConfig schedule;

  bool operator==(const TrainConfig&) const = default;
};

struct ClusterConfig {
  uint32_t servers = 1;
  uint32_t shards_per_server = 1;
  uint32_t workers = 1;
  uint32_t feeders = 0;                   // processes that prepare rows for workers
  std::vector<std::string> feeder_hosts;  // tcp: of feeder n: n mod their count; empty: `host`
  Device device = Device::kCpu;
  uint32_t devices = 0;             // cuda: GPUs of a host that workers take in turn; 0: all
  double device_memory = 1;         // cuda: most of a GPU's memory that one worker takes
  uint32_t threads_per_worker = 1;  // threads of one worker's matrix products
  TransportKind transport = TransportKind::kIpc;
  std::string host = "127.0.0.1";  // tcp: what servers and the coordinator listen on
  uint32_t port = 0;               // tcp: first port: coordinator, shards, feeders; 0: 7700
  uint64_t heartbeat_ms = 500;
  uint64_t dead_after_ms = 5000;  // silence after which a process counts as dead
  // No progress although alive: named in the log and the status. Nor a word from the coordinator: a
  // worker ends, and a shard that hears no worker.
  uint64_t stuck_after_ms = 60000;
  uint64_t join_deadline_ms = 30000;  // start-up: how long to wait for every process
  uint64_t unit_bytes = 1 << 20;      // target size of a unit

  bool operator==(const ClusterConfig&) const = default;
};

struct CheckpointConfig {
  uint64_t every_steps = 0;  // 0: only at the end and on Ctrl-C
  uint32_t keep = 2;
  Durability durability = Durability::kCheckpoint;

  bool operator==(const CheckpointConfig&) const = default;
};

// Disturbances on purpose, for benches and tests.
struct FaultConfig {
  int32_t slow_worker = -1;  // this worker computes slow_factor times slower; -1: none
  double slow_factor = 1;
  double pause_chance = 0;  // per step of any worker
  uint64_t pause_ms = 0;
  uint64_t move_lane_every_steps = 0;  // one lane goes on to another worker so often; 0: never

  bool operator==(const FaultConfig&) const = default;
};

// Which steps `ballast run --trace` shows.
struct TraceConfig {
  uint64_t first_step = 0;
  uint64_t steps = 1000;  // bounds the file, and what a viewer has to take

  bool operator==(const TraceConfig&) const = default;
};

// What only the data can tell; filled in by `ballast-tool resolve`, not by people.
struct ResolvedConfig {
  std::string run;          // random, new at every start and resume: two runs of one job never mix
  uint64_t train_rows = 0;  // of data.train and data.mix together
  uint64_t epoch_samples = 0;  // taken of them in an epoch; 0: each row once
  uint64_t test_rows = 0;
  uint32_t input_width = 0;  // features after transforms
  uint32_t label_width = 1;
  // Of a row's features in a batch, where they stay as they are stored until a device makes floats
  // of them; 0: they are floats.
  uint64_t stored_bytes = 0;
  uint64_t train_row_bytes = 0;  // of the columns used, as stored: what a loader keeps of a row
  uint64_t test_row_bytes = 0;
  uint64_t train_blocks = 0;
  uint64_t test_blocks = 0;
  uint32_t train_columns = 0;        // that are read
  uint64_t train_block_rows = 0;     // of the block with most rows
  uint64_t train_block_samples = 0;  // that an epoch takes of one block, at most; 0: its rows
  uint64_t train_block_bytes = 0;    // of the largest block
  uint64_t train_decode_bytes = 0;   // that reading a block into memory takes beside its rows
  std::string train_manifest_xxh3;
  std::string test_manifest_xxh3;
  std::vector<double> class_labels;  // data.balance: the labels that occur, ascending
  std::vector<double> class_rows;    // samples of each in an epoch, by the rates, before balance

  [[nodiscard]] uint64_t row_feature_bytes() const {
    return stored_bytes > 0 ? stored_bytes : uint64_t{input_width} * sizeof(float);
  }
  [[nodiscard]] uint64_t samples() const { return epoch_samples > 0 ? epoch_samples : train_rows; }
  [[nodiscard]] uint64_t block_samples() const {
    return train_block_samples > 0 ? train_block_samples : train_block_rows;
  }

  bool operator==(const ResolvedConfig&) const = default;
};

struct JobConfig {
  std::string name = "job";
  uint64_t seed = 1;
  DataConfig data;
  ModelConfig model;
  TrainConfig train;
  ClusterConfig cluster;
  CheckpointConfig checkpoint;
  FaultConfig fault;
  TraceConfig trace;
  ResolvedConfig resolved;

  [[nodiscard]] uint32_t shard_count() const { return cluster.servers * cluster.shards_per_server; }

  bool operator==(const JobConfig&) const = default;
};

}  // namespace ballast
