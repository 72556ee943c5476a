#include "worker/tool/memory_sum.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "common/optimizer/fold.h"
#include "common/optimizer/optimizer.h"
#include "common/optimizer/push_rule.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/storage/rocks_records.h"
#include "worker/data/batch_shape.h"
#include "worker/data/memory_budget.h"
#include "worker/evaluate_slice.h"
#include "worker/feed/feeder.h"
#include "worker/feed/portion.h"
#include "worker/local_optimizer.h"

namespace ballast {
namespace {

constexpr uint64_t kMib = 1 << 20;
// What a server with a few kilobytes of weights has resident.
constexpr uint64_t kServerCodeBytes = 18 * kMib;
// What a worker has resident beside the users named here: 5 of it are libcurl and what it brings,
// 0.4 the back end for GPUs.
constexpr uint64_t kWorkerCodeBytes = 16 * kMib;

uint64_t parameter_bytes(const JobConfig& job) {
  uint64_t bytes = 0;
  for (const ParameterSpec& parameter : parameters_of(job.model, job.resolved.input_width)) {
    bytes += parameter.element_count() * sizeof(float);
  }
  return bytes;
}

uint64_t server_states(const JobConfig& job) {
  return state_count(train_on_servers(job.train).optimizer.kind);
}

// Being computed, and on their way: one of each step in flight; a batch's, where a step sums those
// of several; in sync the left halves up the tree of a worker's lanes.
uint64_t gradient_sets(const JobConfig& job) {
  const uint64_t sets = sums_batches(job.train) ? 2 : 1;
  if (job.train.mode != Mode::kSync) return sets + job.train.steps_in_flight;
  const uint32_t lanes = (job.train.lanes + job.cluster.workers - 1) / job.cluster.workers;
  return sets + 1 + std::bit_width(lanes - 1);
}

// The newest answers; and, where several may come during a step, the first of those, which wait for
// its end.
uint64_t arriving_sets(const JobConfig& job) {
  return job.train.mode != Mode::kSync && job.train.steps_in_flight > 2 ? 2 : 1;
}

// On a GPU it is the GPU's memory.
uint64_t local_bytes(const JobConfig& job) {
  if (job.train.push == PushKind::kGradient || job.cluster.device == Device::kCuda) return 0;
  return local_optimizer_bytes(job.train, parameter_bytes(job));
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

// Rows that one computation holds: a lane's share in sync, up to the whole batch elsewhere.
uint64_t step_rows(const JobConfig& job, const LaneSchedule& schedule) {
  const bool lane_by_lane = job.train.mode == Mode::kSync;
  return std::max(lane_by_lane ? schedule.lane_batch() : schedule.batch(), kEvaluationRows);
}

// On a GPU it is the GPU's memory.
uint64_t layer_bytes(const JobConfig& job, const LaneSchedule& schedule) {
  if (job.cluster.device == Device::kCuda) return 0;
  return 2 * step_rows(job, schedule) * row_values(job) * sizeof(float);
}

// Sums that a sync step arrives in: each worker has a run of neighbouring lanes and sends the nodes
// of the tree that cover it.
uint64_t nodes_of_a_step(const JobConfig& job) {
  const uint32_t lanes = job.train.lanes;
  uint64_t nodes = 0;
  uint32_t first = 0;
  for (uint32_t worker = 0; worker < job.cluster.workers; ++worker) {
    std::vector<uint32_t> run(lanes / job.cluster.workers + (worker < lanes % job.cluster.workers));
    std::iota(run.begin(), run.end(), first);
    first += static_cast<uint32_t>(run.size());
    nodes += cover_by_tree_nodes(run, lanes).size();
  }
  return nodes;
}

// Nodes that are there at once beside the versions. The older version goes when the first node of a
// step is whole, and every worker may have sent one by then; later ones find it gone. Async, ssp:
// whatever workers have sent.
uint64_t nodes_waiting(const JobConfig& job) {
  const uint64_t workers = job.cluster.workers;
  return job.train.mode == Mode::kSync ? std::max(workers, nodes_of_a_step(job) - 1)
                                       : workers * job.train.steps_in_flight;
}

// With durability "checkpoint" nothing is kept. Sync: a step begins when the one before it is
// durable. Else: the images being written, and the newest of those that come meanwhile.
void add_journal(const JobConfig& job, uint64_t state_bytes, MemorySum& sum) {
  if (job.checkpoint.durability == Durability::kCheckpoint) return;
  const uint32_t copies = job.train.mode == Mode::kSync ? 1 : std::min(2u, job.cluster.workers);
  sum.users.push_back(
      {fmt::format("journal copies of the state (at most {})", copies), copies * state_bytes});
  sum.users.push_back(
      {"journal tables (at most)", job.cluster.shards_per_server * kRecordsMemoryBytes});
}

// One batch at a time.
uint64_t evaluation_bytes(const JobConfig& job) {
  if (job.resolved.test_rows == 0) return 0;
  return BatchShape{kEvaluationRows, job.resolved.input_width, job.resolved.label_width}.bytes();
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
    if (user.bytes == 0) continue;
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
  const uint64_t states = server_states(job);
  const bool sync = job.train.mode == Mode::kSync;
  const uint64_t versions = sync ? 2 : 1;
  const uint64_t nodes = nodes_waiting(job);
  MemorySum sum{
      {{fmt::format("weights ({} version{})", versions, sync ? "s" : ""), versions * weights},
       {fmt::format("optimizer state ({} tensors)", states), states * weights},
       {fmt::format("waiting nodes (at most {})", nodes), nodes * weights},
       {"checkpoint copy of weights and state", (1 + states) * weights}}};
  add_journal(job, states * weights, sum);
  sum.users.push_back({"code", kServerCodeBytes});
  return sum;
}

MemorySum worker_memory(const JobConfig& job) {
  const uint64_t weights = parameter_bytes(job);
  const LaneSchedule schedule = schedule_of(job);
  const PortionMemory portions = worker_portions(job);
  const LoaderMemory loader = loader_memory(job, schedule, portions);
  return {{{"weights", weights},
           {fmt::format("gradients ({})", gradient_sets(job)), gradient_sets(job) * weights},
           {"local optimizer", local_bytes(job)},
           {"arriving weights", arriving_sets(job) * weights},
           {"layers", layer_bytes(job, schedule)},
           {"train rows", loader.train_rows * loader.train_row_bytes},
           {"decoding of train rows", loader.decode_bytes},
           {fmt::format("blocks of train rows ({})", loader.blocks),
            loader.blocks * loader.block_bytes},
           {"order of train rows", loader.order_bytes},
           {"list of blocks", loader.list_bytes},
           {fmt::format("blocks kept ({})", loader.kept_blocks),
            loader.kept_blocks * loader.block_bytes},
           {"list of the disk cache", loader.cache_bytes},
           {"test rows", loader.test_rows * loader.test_row_bytes},
           {fmt::format("batches ({})", loader.batches), loader.batch_bytes * loader.batches},
           {fmt::format("portions from feeders ({})", portions.portions), portions.total()},
           {"evaluation batch", evaluation_bytes(job)},
           {"code", kWorkerCodeBytes}}};
}

MemorySum feeder_memory(const JobConfig& job) {
  const LoaderMemory rows = feeder_rows_memory(job);
  const PortionMemory portions = feeder_portions(job);
  return {{{"train rows", rows.train_rows * rows.train_row_bytes},
           {"decoding of train rows", rows.decode_bytes},
           {fmt::format("blocks of train rows ({})", rows.blocks), rows.blocks * rows.block_bytes},
           {"order of train rows", rows.order_bytes},
           {"list of blocks", rows.list_bytes},
           {fmt::format("blocks kept ({})", rows.kept_blocks), rows.kept_blocks * rows.block_bytes},
           {"list of the disk cache", rows.cache_bytes},
           {fmt::format("portions (at most {})", portions.portions), portions.total()},
           {"code", kWorkerCodeBytes}}};
}

uint64_t job_memory_bytes(const JobConfig& job) {
  return job.cluster.servers * server_memory(job).total() +
         job.cluster.workers * worker_memory(job).total() +
         job.cluster.feeders * feeder_memory(job).total();
}

uint64_t checkpoint_bytes(const JobConfig& job) {
  return (1 + server_states(job)) * parameter_bytes(job);
}

std::string bytes_text(uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / kMib;
  return mib < 1024 ? fmt::format("{:.2f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}

}  // namespace ballast
