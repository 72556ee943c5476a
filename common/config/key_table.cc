#include "common/config/key_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "common/base/check.h"
#include "common/config/choices.h"

namespace ballast {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();
constexpr KeyRange kAny{};
constexpr KeyRange kPositive{0, kNoLimit, true, false};
constexpr KeyRange kNotNegative{0, kNoLimit, false, false};
constexpr KeyRange kShare{0, 1, false, false};
constexpr KeyRange kBelowOne{0, 1, false, true};
// Steps and milliseconds: far beyond any job, far below any overflow.
constexpr KeyRange kCount{0, 1e12, false, false};
constexpr KeyRange kSomeMs{1, 1e9, false, false};

// Declares the keys of one section over the struct that holds them. The modifiers (required, of,
// ...) speak of the key declared last.
template <typename Owner>
class SectionBuilder {
 public:
  using Locate = Owner& (*)(JobConfig&, size_t);

  SectionBuilder(std::string name, bool fixes_result, Locate locate, std::string text)
      : locate_(locate), fixes_result_(fixes_result) {
    section_.name = std::move(name);
    section_.text = std::move(text);
  }

  template <typename Int>
  SectionBuilder& integer(std::string name, Int Owner::*field, KeyRange range, std::string unit,
                          std::string text) {
    Key& key = add(std::move(name), KeyType::kInteger, std::move(text));
    key.range = range;
    key.unit = std::move(unit);
    bind<int64_t>(key, field);
    return *this;
  }
  SectionBuilder& number(std::string name, double Owner::*field, KeyRange range, std::string unit,
                         std::string text) {
    Key& key = add(std::move(name), KeyType::kNumber, std::move(text));
    key.range = range;
    key.unit = std::move(unit);
    bind<double>(key, field);
    return *this;
  }
  SectionBuilder& boolean(std::string name, bool Owner::*field, std::string text) {
    bind<bool>(add(std::move(name), KeyType::kBoolean, std::move(text)), field);
    return *this;
  }
  SectionBuilder& text(std::string name, std::string Owner::*field, std::string text) {
    bind<std::string>(add(std::move(name), KeyType::kText, std::move(text)), field);
    return *this;
  }
  SectionBuilder& texts(std::string name, std::vector<std::string> Owner::*field,
                        std::string text) {
    bind<std::vector<std::string>>(add(std::move(name), KeyType::kTextList, std::move(text)),
                                   field);
    return *this;
  }
  SectionBuilder& numbers(std::string name, std::vector<double> Owner::*field, KeyRange range,
                          std::string text) {
    Key& key = add(std::move(name), KeyType::kNumberList, std::move(text));
    key.range = range;
    bind<std::vector<double>>(key, field);
    return *this;
  }
  template <typename Enum>
  SectionBuilder& choice(std::string name, Enum Owner::*field, std::string text) {
    Key& key = add(std::move(name), KeyType::kChoice, std::move(text));
    for (std::string_view word : choice_names<Enum>()) key.choices.emplace_back(word);
    key.get = [locate = locate_, field](const JobConfig& job, size_t index) -> KeyValue {
      return std::string(name_of(read(locate, job, index).*field));
    };
    key.set = [locate = locate_, field](JobConfig& job, size_t index, const KeyValue& value) {
      const auto names = choice_names<Enum>();
      const auto found = std::find(names.begin(), names.end(), std::get<std::string>(value));
      BALLAST_CHECK(found != names.end());
      locate(job, index).*field = static_cast<Enum>(found - names.begin());
    };
    return *this;
  }

  SectionBuilder& required() {
    section_.keys.back().required = true;
    return *this;
  }
  SectionBuilder& example(std::string toml) {
    section_.keys.back().example = std::move(toml);
    return *this;
  }
  SectionBuilder& of(std::vector<std::string> kinds) {
    section_.keys.back().kinds = std::move(kinds);
    return *this;
  }
  SectionBuilder& fixes_result(bool fixes) {
    section_.keys.back().fixes_result = fixes;
    return *this;
  }
  SectionBuilder& by_tool() {
    section_.by_tool = true;
    return *this;
  }
  template <typename Tables>
  SectionBuilder& repeated(Tables tables, std::vector<std::string> example_kinds) {
    section_.repeated = true;
    section_.example_kinds = std::move(example_kinds);
    section_.count = [tables](const JobConfig& job) {
      return tables(const_cast<JobConfig&>(job)).size();  // only read here
    };
    section_.append = [tables](JobConfig& job) { tables(job).emplace_back(); };
    return *this;
  }

  Section take() { return std::move(section_); }

 private:
  static const Owner& read(Locate locate, const JobConfig& job, size_t index) {
    return locate(const_cast<JobConfig&>(job), index);  // only read by the callers
  }

  Key& add(std::string name, KeyType type, std::string text) {
    Key& key = section_.keys.emplace_back();
    key.name = std::move(name);
    key.type = type;
    key.text = std::move(text);
    key.fixes_result = fixes_result_;
    return key;
  }

  // `Stored` is the alternative of KeyValue; the field may be a narrower integer.
  template <typename Stored, typename Field>
  void bind(Key& key, Field Owner::*field) {
    key.get = [locate = locate_, field](const JobConfig& job, size_t index) -> KeyValue {
      return static_cast<Stored>(read(locate, job, index).*field);
    };
    key.set = [locate = locate_, field](JobConfig& job, size_t index, const KeyValue& value) {
      locate(job, index).*field = static_cast<Field>(std::get<Stored>(value));
    };
  }

  Locate locate_;
  bool fixes_result_;
  Section section_;
};

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
            "folder of the training set, relative to where `ballast` is called")
      .required()
      .example("\"data/digits/train\"")
      .fixes_result(false)
      .text("test", &DataConfig::test, "folder of the test set; empty: no evaluation")
      .example("\"data/digits/test\"")
      .fixes_result(false)
      .texts("features", &DataConfig::features,
             "columns that are joined, in this order, into the model's input")
      .required()
      .example("[\"pixels\", \"channel\"]")
      .text("label", &DataConfig::label, "column the model learns to predict")
      .required()
      .example("\"label\"")
      .choice("order", &DataConfig::order,
              "full: the rows of an epoch in a new random order; none: as stored")
      .integer("memory_mib", &DataConfig::memory_mib, {1, 1 << 24}, "MiB",
               "memory one worker may use for decoded data")
      .fixes_result(false)
      .integer("threads", &DataConfig::threads, {1, 256}, "threads", "loader threads of one worker")
      .fixes_result(false)
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
                {"scale", "standardize", "one_hot"})
      .choice("kind", &TransformConfig::kind, "what is done")
      .required()
      .text("column", &TransformConfig::column, "a column of data.features")
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
               "an integer from 0 to classes - 1 becomes that many zeros and a one")
      .of({"one_hot"})
      .required()
      .example("4")
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
      .choice("kind", &LayerConfig::kind, "dense: y = activation(x W + b)")
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
               "samples per step over all lanes; a multiple of lanes")
      .integer(
          "lanes", &TrainConfig::lanes, {0, 65536}, "lanes",
          "streams of samples, shared out among the workers, fixed for a job; 0: sync takes "
          "the power of two >= workers, ssp and async 8 x workers, moved to a divisor of batch")
      .integer("eval_every_epochs", &TrainConfig::eval_every_epochs, {0, 1000000}, "epochs",
               "epochs between two evaluations on data.test; 0: only at the end")
      .fixes_result(false)
      .boolean("scale_by_staleness", &TrainConfig::scale_by_staleness,
               "async, ssp: a gradient that is s versions old counts 1 / (1 + s)")
      .choice("on_bad_gradient", &TrainConfig::on_bad_gradient,
              "what a NaN or an infinity does: stop names worker, step and rows; skip leaves the "
              "step out")
      .integer("max_steps", &TrainConfig::max_steps, kCount, "steps",
               "stop after so many steps of each lane; 0: all epochs")
      .boolean("replan_lanes", &TrainConfig::replan_lanes,
               "async, ssp: slow workers hand lanes to fast ones")
      .fixes_result(false)
      .take();
}

Section optimizer_section() {
  return SectionBuilder<OptimizerConfig>(
             "train.optimizer", true,
             [](JobConfig& job, size_t) -> OptimizerConfig& { return job.train.optimizer; },
             "what turns gradients into steps; runs on the servers")
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
             "how the learning rate changes; a step is `batch` samples in every mode")
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
               "steps from 1 down to floor; 0: the whole job")
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
      .choice("device", &ClusterConfig::device, "what a worker computes on")
      .integer("threads_per_worker", &ClusterConfig::threads_per_worker, {1, 1024}, "threads",
               "threads of one worker's matrix products")
      .choice("transport", &ClusterConfig::transport,
              "ipc: sockets in the run directory; tcp: host and port")
      .text("host", &ClusterConfig::host, "tcp: address that servers and the coordinator listen on")
      .integer("port", &ClusterConfig::port, {0, 65535}, "",
               "tcp: the coordinator's port, the shards' follow; 0: any free ports")
      .integer("heartbeat_ms", &ClusterConfig::heartbeat_ms, kSomeMs, "ms",
               "time between two signs of life")
      .integer("dead_after_ms", &ClusterConfig::dead_after_ms, kSomeMs, "ms",
               "silence after which a process counts as dead")
      .integer("stuck_after_ms", &ClusterConfig::stuck_after_ms, kSomeMs, "ms",
               "time without progress after which a living process is named in log and status")
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
      .take();
}

Section resolved_section() {
  return SectionBuilder<ResolvedConfig>(
             "resolved", true,
             [](JobConfig& job, size_t) -> ResolvedConfig& { return job.resolved; },
             "what only the data can tell; written at the start of a job, not by people")
      .by_tool()
      .integer("train_rows", &ResolvedConfig::train_rows, {0, 9e18}, "rows", "of data.train")
      .integer("test_rows", &ResolvedConfig::test_rows, {0, 9e18}, "rows", "of data.test")
      .integer("input_width", &ResolvedConfig::input_width, {0, 1 << 30}, "values",
               "the features after all transforms")
      .integer("label_width", &ResolvedConfig::label_width, {1, 1 << 30}, "values", "of a label")
      .text("train_manifest_xxh3", &ResolvedConfig::train_manifest_xxh3,
            "hash of data.train's manifest")
      .text("test_manifest_xxh3", &ResolvedConfig::test_manifest_xxh3,
            "hash of data.test's manifest")
      .take();
}

std::string_view type_name(KeyType type) {
  switch (type) {
    case KeyType::kInteger:
      return "integer";
    case KeyType::kNumber:
      return "number";
    case KeyType::kText:
      return "text";
    case KeyType::kBoolean:
      return "true or false";
    case KeyType::kChoice:
      return "one of";
    case KeyType::kTextList:
      return "list of texts";
    case KeyType::kNumberList:
      return "list of numbers";
  }
  return "";
}

// 3.0 -> "3": limits of integers are read by people.
std::string limit_text(double limit) {
  if (limit == std::floor(limit) && std::abs(limit) < 1e15) {
    return fmt::format("{}", static_cast<int64_t>(limit));
  }
  return fmt::format("{}", limit);
}

std::string quoted(std::string_view text) {
  std::string toml = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      toml += '\\';
      toml += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      toml += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      toml += c;
    }
  }
  return toml + '"';
}

// TOML wants a point or an exponent, or it is an integer.
std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

bool KeyRange::contains(double value) const {
  if (!std::isfinite(value)) return false;
  if (low_excluded ? value <= low : value < low) return false;
  return high_excluded ? value < high : value <= high;
}

std::string KeyRange::to_string() const {
  const bool has_low = std::isfinite(low);
  const bool has_high = std::isfinite(high) && high < 9e18;
  if (!has_low && !has_high) return "any finite value";
  if (has_low && has_high && !low_excluded && !high_excluded) {
    return fmt::format("{} to {}", limit_text(low), limit_text(high));
  }
  std::string text;
  if (has_low) text = fmt::format("{} {}", low_excluded ? "above" : "at least", limit_text(low));
  if (has_high) {
    text += fmt::format("{}{} {}", text.empty() ? "" : " and ", high_excluded ? "below" : "at most",
                        limit_text(high));
  }
  return text;
}

bool Key::belongs_to(std::string_view kind) const {
  return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

std::string Key::allowed() const {
  if (type == KeyType::kChoice) {
    return fmt::format("one of {}", fmt::join(choices, ", "));
  }
  std::string words(type_name(type));
  const bool ranged =
      type == KeyType::kInteger || type == KeyType::kNumber || type == KeyType::kNumberList;
  if (ranged) words += fmt::format(", {}", range.to_string());
  if (!unit.empty()) words += fmt::format(" {}", unit);
  return words;
}

const Key* Section::find(std::string_view key) const {
  for (const Key& candidate : keys) {
    if (candidate.name == key) return &candidate;
  }
  return nullptr;
}

std::string Section::kind_of(const JobConfig& job, size_t index) const {
  const Key* kind = find("kind");
  return kind == nullptr ? "" : std::get<std::string>(kind->get(job, index));
}

std::string Section::path(std::string_view key, size_t index) const {
  return repeated ? fmt::format("{}[{}].{}", name, index, key) : fmt::format("{}.{}", name, key);
}

const std::vector<Section>& key_table() {
  static const std::vector<Section> table = {
      job_section(),     data_section(),       transform_section(), model_section(),
      layer_section(),   train_section(),      optimizer_section(), schedule_section(),
      cluster_section(), checkpoint_section(), fault_section(),     resolved_section()};
  return table;
}

const Section* find_section(std::string_view name) {
  for (const Section& section : key_table()) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

std::string to_toml(const KeyValue& value) {
  const auto list = [](const auto& items, auto&& write) {
    std::string text = "[";
    for (size_t i = 0; i < items.size(); ++i) text += (i == 0 ? "" : ", ") + write(items[i]);
    return text + "]";
  };
  return std::visit(
      [&](const auto& held) -> std::string {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, bool>) return held ? "true" : "false";
        if constexpr (std::is_same_v<Held, int64_t>) return fmt::format("{}", held);
        if constexpr (std::is_same_v<Held, double>) return number_text(held);
        if constexpr (std::is_same_v<Held, std::string>) return quoted(held);
        if constexpr (std::is_same_v<Held, std::vector<std::string>>) return list(held, quoted);
        if constexpr (std::is_same_v<Held, std::vector<double>>) return list(held, number_text);
      },
      value);
}

}  // namespace ballast
