#include "worker/tool/memory_sum.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/optimizer/optimizer.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"

namespace ballast {
namespace {

constexpr uint64_t kMib = 1 << 20;

uint64_t parameter_bytes(const JobConfig& job) {
  uint64_t bytes = 0;
  for (const ParameterSpec& parameter : parameters_of(job.model, job.resolved.input_width)) {
    bytes += parameter.element_count() * sizeof(float);
  }
  return bytes;
}

// Values of one row in all layers: what forward keeps for backward.
uint64_t row_values(const JobConfig& job) {
  uint64_t width = job.resolved.input_width;
  uint64_t values = width + job.resolved.label_width;
  for (const LayerConfig& layer : job.model.layers) {
    if (layer.kind == LayerKind::kDense) width = layer.units;
    values += width;
  }
  return values;
}

// Every value as a float, an upper bound of what is stored; the loader refuses more than its
// budget.
uint64_t data_bytes(const JobConfig& job) {
  const uint64_t row = (uint64_t{job.resolved.input_width} + job.resolved.label_width) * 4;
  const uint64_t rows = job.resolved.train_rows + job.resolved.test_rows;
  return std::min(rows * row, job.data.memory_mib * kMib);
}

}  // namespace

uint64_t MemorySum::total() const {
  uint64_t bytes = 0;
  for (const MemoryUser& user : users) bytes += user.bytes;
  return bytes;
}

std::string MemorySum::to_string() const {
  std::string text;
  for (const MemoryUser& user : users) {
    text += fmt::format("{}{} {}", text.empty() ? "" : " + ", user.name, bytes_text(user.bytes));
  }
  return text + " = " + bytes_text(total());
}

std::vector<uint64_t> server_parameter_bytes(const JobConfig& job) {
  const auto parameters = parameters_of(job.model, job.resolved.input_width);
  const auto units = cut_units(parameters, job.cluster.unit_bytes);
  const auto shards = propose_placement(units, job.shard_count());
  std::vector<uint64_t> bytes(job.cluster.servers);
  for (size_t i = 0; i < units.size(); ++i) {
    bytes[shards[i].value() / job.cluster.shards_per_server] += units[i].bytes();
  }
  return bytes;
}

MemorySum server_memory(const JobConfig& job) {
  const std::vector<uint64_t> servers = server_parameter_bytes(job);
  const uint64_t weights = *std::max_element(servers.begin(), servers.end());
  const uint64_t states = state_count(job.train.optimizer.kind);
  return {{{"weights (2 versions)", 2 * weights},
           {fmt::format("optimizer state ({} tensors)", states), states * weights},
           {fmt::format("waiting nodes ({})", job.cluster.workers), job.cluster.workers * weights},
           {"checkpoint copies", (1 + states) * weights}}};
}

MemorySum worker_memory(const JobConfig& job) {
  const uint64_t weights = parameter_bytes(job);
  const uint64_t lane_rows = job.train.batch / job.train.lanes;
  return {{{"weights", weights},
           {"gradients (2)", 2 * weights},
           {"arriving weights", weights},
           {"layers", 2 * lane_rows * row_values(job) * sizeof(float)},
           {"data", data_bytes(job)}}};
}

uint64_t job_memory_bytes(const JobConfig& job) {
  return job.cluster.servers * server_memory(job).total() +
         job.cluster.workers * worker_memory(job).total();
}

uint64_t checkpoint_bytes(const JobConfig& job) {
  return (1 + state_count(job.train.optimizer.kind)) * parameter_bytes(job);
}

std::string bytes_text(uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / kMib;
  return mib < 1024 ? fmt::format("{:.2f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}

}  // namespace ballast
