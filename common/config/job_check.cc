#include "common/config/job_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/config/choices.h"
#include "common/config/lane_choice.h"

namespace ballast {
namespace {

using Problems = std::vector<JobProblem>;

constexpr size_t kNameLengthMax = 64;
constexpr uint64_t kPortMax = 65535;

void check_name(const JobConfig& job, Problems& out) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  const std::string& name = job.name;
  const bool good = !name.empty() && name.size() <= kNameLengthMax && name.front() != '.' &&
                    std::all_of(name.begin(), name.end(), fits);
  if (good) return;
  out.push_back({{"job.name"},
                 fmt::format("job.name = \"{}\" cannot name a folder; allowed: 1 to {} of letters, "
                             "digits, '.', '_', '-', not '.' first",
                             name, kNameLengthMax)});
}

void check_columns(const DataConfig& data, Problems& out) {
  if (data.train.empty()) {
    out.push_back(
        {{"data.train"}, "data.train is empty; expected the folder or the address of a data set"});
  }
  if (data.label.empty()) {
    out.push_back({{"data.label"}, "data.label is empty; expected a column"});
  }
  if (data.features.empty()) {
    out.push_back({{"data.features"}, "data.features is empty; expected at least one column"});
  }
  std::set<std::string> seen;
  for (const std::string& column : data.features) {
    if (!seen.insert(column).second) {
      out.push_back(
          {{"data.features"}, fmt::format("data.features names the column \"{}\" twice", column)});
    }
  }
  if (!data.label.empty() && seen.contains(data.label)) {
    out.push_back({{"data.features", "data.label"},
                   fmt::format("data.features holds \"{}\", which is also data.label; the model "
                               "would read what it must predict",
                               data.label)});
  }
  for (const TransformConfig& transform : data.transforms) {
    if (transform.kind != TransformKind::kCross || data.label.empty() ||
        std::count(transform.columns.begin(), transform.columns.end(), data.label) == 0) {
      continue;
    }
    out.push_back({{"data.label"},
                   fmt::format("data.transform cross \"{}\" takes \"{}\", which is data.label; the "
                               "model would read what it must predict",
                               transform.column, data.label)});
  }
}

void check_mix(const DataConfig& data, Problems& out) {
  for (size_t i = 0; i < data.mix.size(); ++i) {
    if (!data.mix[i].train.empty()) continue;
    const std::string path = fmt::format("data.mix[{}].train", i);
    out.push_back({{path}, path + " is empty; expected the folder or the address of a data set"});
  }
  if (data.order != Order::kNone || !data.resamples()) return;
  out.push_back(
      {{"data.order", "data.balance", "data.rate"},
       "data.order = \"none\" takes each row once, as stored; with data.balance = "
       "\"oversample\" or \"undersample\", or a rate that is not 1, expected full, strip or "
       "auto"});
}

// A filter by the label leaves a class whole or takes it away; any other leaves some of each.
void check_balance(const DataConfig& data, Problems& out) {
  if (!data.samples_classes()) return;
  for (size_t i = 0; i < data.transforms.size(); ++i) {
    const TransformConfig& transform = data.transforms[i];
    if (transform.kind != TransformKind::kFilter || transform.column == data.label) continue;
    const std::string path = fmt::format("data.transform[{}].column", i);
    out.push_back(
        {{path, "data.balance"},
         fmt::format("data.balance = \"{}\" makes classes equal that are counted before filters, "
                     "so what the filter {} = \"{}\" leaves of them is not equal; expected a "
                     "filter of data.label, data.balance = \"none\", or data that was converted "
                     "without those rows",
                     name_of(data.balance), path, transform.column)});
  }
}

// A filter looks at any column; others change one that reaches the model, by itself or in a cross.
bool is_used(const DataConfig& data, const TransformConfig& transform) {
  const auto holds = [&](const std::vector<std::string>& names) {
    return std::count(names.begin(), names.end(), transform.column) > 0;
  };
  if (transform.kind == TransformKind::kFilter || transform.column == data.label) return true;
  return holds(data.features) ||
         std::any_of(data.transforms.begin(), data.transforms.end(), [&](const auto& other) {
           return other.kind == TransformKind::kCross && holds(other.columns);
         });
}

void check_clip(const TransformConfig& transform, const std::string& path, Problems& out) {
  if (transform.kind != TransformKind::kClip || transform.low <= transform.high) return;
  out.push_back({{path + ".low", path + ".high"},
                 fmt::format("{0}.low = {1} is above {0}.high = {2}; expected low <= high", path,
                             transform.low, transform.high)});
}

void check_boundaries(const TransformConfig& transform, const std::string& path, Problems& out) {
  if (transform.kind != TransformKind::kBucketize) return;
  const std::vector<double>& cuts = transform.boundaries;
  for (size_t i = 1; i < cuts.size(); ++i) {
    if (cuts[i - 1] < cuts[i]) continue;
    out.push_back({{path + ".boundaries"},
                   fmt::format("{}.boundaries[{}] = {} is not above {} before it; expected "
                               "ascending numbers",
                               path, i, cuts[i], cuts[i - 1])});
    return;
  }
  if (cuts.empty()) {
    out.push_back({{path + ".boundaries"},
                   fmt::format("{}.boundaries is empty; expected at least one number", path)});
  }
}

void check_crossed(const TransformConfig& transform, const std::string& path, Problems& out) {
  if (transform.kind != TransformKind::kCross || transform.columns.size() >= 2) return;
  out.push_back({{path + ".columns"},
                 fmt::format("{}.columns has {} names; expected two or more", path,
                             transform.columns.size())});
}

void check_shape(const TransformConfig& transform, const std::string& path, Problems& out) {
  const std::vector<double>& shape = transform.shape;
  const bool whole =
      std::all_of(shape.begin(), shape.end(), [](double size) { return size == std::floor(size); });
  if (whole && (shape.empty() || shape.size() == 2 || shape.size() == 3)) return;
  out.push_back({{path + ".shape"},
                 fmt::format("{}.shape = [{}]; expected two or three whole numbers", path,
                             fmt::join(shape, ", "))});
}

void check_transforms(const DataConfig& data, Problems& out) {
  for (size_t i = 0; i < data.transforms.size(); ++i) {
    const TransformConfig& transform = data.transforms[i];
    const std::string path = fmt::format("data.transform[{}]", i);
    if (!is_used(data, transform)) {
      out.push_back({{path + ".column", "data.features"},
                     fmt::format("{}.column = \"{}\" is neither in data.features ({}) nor "
                                 "data.label",
                                 path, transform.column, fmt::join(data.features, ", "))});
    }
    check_clip(transform, path, out);
    check_boundaries(transform, path, out);
    check_crossed(transform, path, out);
    check_shape(transform, path, out);
    if (transform.kind != TransformKind::kStandardize) continue;
    if (transform.mean.empty() || transform.mean.size() != transform.std.size()) {
      out.push_back({{path + ".std", path + ".mean"},
                     fmt::format("{0}.mean has {1} values and {0}.std has {2}; expected equally "
                                 "many, at least one",
                                 path, transform.mean.size(), transform.std.size())});
    }
  }
}

void check_last_layer(const ModelConfig& model, Problems& out) {
  const size_t last = model.layers.size() - 1;
  const LayerConfig& layer = model.layers[last];
  const std::string path = fmt::format("layer[{}]", last);
  if (layer.kind != LayerKind::kDense) {
    out.push_back({{path + ".kind"},
                   fmt::format("{}.kind = \"{}\" is the last layer; expected dense, whose units "
                               "are the model's output",
                               path, name_of(layer.kind))});
    return;
  }
  if (model.loss == LossKind::kSoftmaxCrossEntropy && layer.units < 2) {
    out.push_back({{path + ".units", "model.loss"},
                   fmt::format("{}.units = {} leaves softmax_cross_entropy nothing to choose; "
                               "expected one unit per class, at least 2",
                               path, layer.units)});
  }
  if (model.loss != LossKind::kMeanSquaredError && layer.activation != Activation::kNone) {
    out.push_back({{path + ".activation", "model.loss"},
                   fmt::format("{}.activation = \"{}\" before {}, which applies its own; expected "
                               "none in the last layer",
                               path, name_of(layer.activation), name_of(model.loss))});
  }
}

void check_layers(const ModelConfig& model, Problems& out) {
  if (model.layers.empty()) {
    out.push_back({{"layer"},
                   "the model has no layer; expected at least one table [[layer]], the last of "
                   "kind dense"});
    return;
  }
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const LayerConfig& layer = model.layers[i];
    if (layer.kind != LayerKind::kDense || layer.units > 0) continue;
    out.push_back({{fmt::format("layer[{}].units", i)},
                   fmt::format("layer[{}].units = 0; expected at least 1", i)});
  }
  check_last_layer(model, out);
}

void check_lanes_divide(uint32_t lanes, uint32_t batch, uint32_t workers, Problems& out) {
  if (batch % lanes == 0) return;
  const std::vector<uint32_t> near = nearest_lanes(lanes, batch, workers);
  const std::string legal_lanes =
      near.empty() ? "" : fmt::format("nearest legal lanes: {}; ", fmt::join(near, ", "));
  out.push_back(
      {{"train.lanes", "train.batch"},
       fmt::format("train.lanes = {} does not divide train.batch = {}; {}nearest legal "
                   "batch: {}",
                   lanes, batch, legal_lanes, fmt::join(nearest_batches(lanes, batch), ", "))});
}

void check_lanes(const JobConfig& job, Problems& out) {
  const auto [lanes, batch] = std::pair(job.train.lanes, job.train.batch);
  const uint32_t workers = job.cluster.workers;
  if (batch == 0 || workers == 0) return;  // said by check_sizes
  if (lanes == 0) {
    const Result<uint32_t> chosen = default_lanes(job.train.mode, batch, workers);
    if (!chosen.ok()) {
      out.push_back({{"train.batch", "cluster.workers"}, chosen.status().to_string()});
    }
    return;
  }
  if (workers > lanes) {
    out.push_back({{"cluster.workers", "train.lanes"},
                   fmt::format("cluster.workers = {0} is more than train.lanes = {1}, and a lane "
                               "has one worker; expected at most {1} workers, or more lanes",
                               workers, lanes)});
  }
  check_lanes_divide(lanes, batch, workers, out);
}

// The parser refuses these by range; a job built in code has only this.
void check_sizes(const JobConfig& job, Problems& out) {
  const auto positive = [&out](const char* path, uint64_t value) {
    if (value == 0) out.push_back({{path}, fmt::format("{} = 0; expected at least 1", path)});
  };
  positive("train.epochs", job.train.epochs);
  positive("train.batch", job.train.batch);
  positive("cluster.servers", job.cluster.servers);
  positive("cluster.shards_per_server", job.cluster.shards_per_server);
  positive("cluster.workers", job.cluster.workers);
}

void check_schedule(const ScheduleConfig& schedule, Problems& out) {
  if (schedule.kind != ScheduleKind::kStep || schedule.every_steps > 0) return;
  out.push_back({{"train.schedule.every_steps"},
                 "train.schedule.every_steps = 0; expected at least 1 for kind step"});
}

void check_cluster(const ClusterConfig& cluster, Problems& out) {
  const uint64_t sockets =
      1 + uint64_t{cluster.servers} * cluster.shards_per_server + cluster.feeders;
  if (cluster.transport == TransportKind::kTcp && cluster.port != 0 &&
      cluster.port + sockets - 1 > kPortMax) {
    out.push_back(
        {{"cluster.port", "cluster.servers", "cluster.shards_per_server", "cluster.feeders"},
         fmt::format("cluster.port = {} leaves no room below {} for {} ports (the "
                     "coordinator, one per shard and per feeder); highest legal port: {}",
                     cluster.port, kPortMax + 1, sockets, kPortMax + 1 - sockets)});
  }
  if (cluster.transport == TransportKind::kTcp && cluster.host.empty()) {
    out.push_back({{"cluster.host"}, "cluster.host is empty; expected an address to listen on"});
  }
  if (cluster.transport == TransportKind::kIpc && !cluster.feeder_hosts.empty()) {
    out.push_back({{"cluster.feeder_hosts", "cluster.transport"},
                   "cluster.feeder_hosts are of no use with cluster.transport = \"ipc\", which "
                   "stays on one host; expected transport = \"tcp\", or no feeder_hosts"});
  }
  if (cluster.dead_after_ms < 2 * cluster.heartbeat_ms) {
    out.push_back(
        {{"cluster.dead_after_ms", "cluster.heartbeat_ms"},
         fmt::format("cluster.dead_after_ms = {} is less than two heartbeats of "
                     "cluster.heartbeat_ms = {}; expected at least {}",
                     cluster.dead_after_ms, cluster.heartbeat_ms, 2 * cluster.heartbeat_ms)});
  }
}

// At a resume the device may be another one, the precision may not.
void check_device(const JobConfig& job, Problems& out) {
  if (job.cluster.device != Device::kCpu || job.train.precision == Precision::kFp32) return;
  out.push_back({{"train.precision", "cluster.device"},
                 fmt::format("train.precision = \"{}\" is of GPUs; expected \"fp32\" with "
                             "cluster.device = \"cpu\", or device = \"cuda\"",
                             name_of(job.train.precision))});
}

void check_fault(const JobConfig& job, Problems& out) {
  if (job.fault.slow_worker < static_cast<int64_t>(job.cluster.workers)) return;
  out.push_back({{"fault.slow_worker", "cluster.workers"},
                 fmt::format("fault.slow_worker = {} does not exist; workers are 0 to {}, -1 is "
                             "none",
                             job.fault.slow_worker, job.cluster.workers - 1)});
}

}  // namespace

std::vector<JobProblem> find_problems(const JobConfig& job) {
  Problems problems;
  check_name(job, problems);
  check_columns(job.data, problems);
  check_mix(job.data, problems);
  check_balance(job.data, problems);
  check_transforms(job.data, problems);
  check_layers(job.model, problems);
  check_sizes(job, problems);
  check_lanes(job, problems);
  check_schedule(job.train.schedule, problems);
  check_cluster(job.cluster, problems);
  check_device(job, problems);
  check_fault(job, problems);
  return problems;
}

Status check_job(const JobConfig& job) {
  std::vector<std::string> lines;
  for (const JobProblem& problem : find_problems(job)) lines.push_back(problem.text);
  if (lines.empty()) return Status();
  return Status(Code::kInvalidInput, fmt::format("{}", fmt::join(lines, "\n")));
}

}  // namespace ballast
