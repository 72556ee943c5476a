#include "worker/tool/job_plan.h"

#include <fmt/format.h>

#include <vector>

#include "common/config/choices.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "worker/model/model_check.h"
#include "worker/tool/memory_sum.h"

namespace ballast {
namespace {

std::string describe_steps(const JobConfig& job) {
  const TrainConfig& train = job.train;
  const LaneSchedule schedule(job.resolved.train_rows, train.lanes, train.batch, train.epochs,
                              train.max_steps);
  return fmt::format(
      "{}: {} train rows, {} test rows, {} features\n{}: {} epochs, {} steps of {} samples, {} "
      "lanes over {} workers\n",
      job.name, job.resolved.train_rows, job.resolved.test_rows, job.resolved.input_width,
      name_of(train.mode), train.epochs, schedule.steps(), train.batch, train.lanes,
      job.cluster.workers);
}

std::string describe_shards(const JobConfig& job) {
  const auto parameters = parameters_of(job.model, job.resolved.input_width);
  const auto units = cut_units(parameters, job.cluster.unit_bytes);
  const auto shards = propose_placement(units, job.shard_count());
  std::vector<uint64_t> counts(job.shard_count()), bytes(job.shard_count());
  for (size_t i = 0; i < units.size(); ++i) {
    ++counts[shards[i].value()];
    bytes[shards[i].value()] += units[i].bytes();
  }
  std::string text = fmt::format("{} units on {} shards\n", units.size(), job.shard_count());
  for (uint32_t shard = 0; shard < job.shard_count(); ++shard) {
    text += fmt::format("  server {} shard {}: {} units, {} bytes\n",
                        shard / job.cluster.shards_per_server, shard, counts[shard], bytes[shard]);
  }
  return text;
}

}  // namespace

std::string describe_memory(const JobConfig& job) {
  return fmt::format(
      "memory of a server ({} of them): {}\nmemory of a worker ({} of them): {}\n"
      "memory of all: {}\n",
      job.cluster.servers, server_memory(job).to_string(), job.cluster.workers,
      worker_memory(job).to_string(), bytes_text(job_memory_bytes(job)));
}

std::string describe_plan(const JobConfig& job) {
  return describe_steps(job) + describe_model(job.model, job.resolved.input_width) +
         describe_shards(job) + describe_memory(job);
}

}  // namespace ballast
