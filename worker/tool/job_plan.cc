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

// "1 worker", "2 workers".
std::string counted(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string describe_steps(const JobConfig& job) {
  const TrainConfig& train = job.train;
  const LaneSchedule schedule = schedule_of(job);
  std::string rows = counted(job.resolved.train_rows, "train row");
  if (job.data.resamples()) {
    rows += fmt::format(" ({} an epoch)", counted(job.resolved.samples(), "sample"));
  }
  const std::string local_steps =
      train.local_steps == 1 ? "" : fmt::format("up to {} batches of ", train.local_steps);
  return fmt::format("{}: {}, {}, {}\n{}: {}, {} of {}, {} over {}\n", job.name, rows,
                     counted(job.resolved.test_rows, "test row"),
                     counted(job.resolved.input_width, "feature"), name_of(train.mode),
                     counted(train.epochs, "epoch"), counted(schedule.steps(), "step"),
                     local_steps + counted(train.batch, "sample"), counted(train.lanes, "lane"),
                     counted(job.cluster.workers, "worker"));
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
  std::string text =
      fmt::format("{} on {}\n", counted(units.size(), "unit"), counted(job.shard_count(), "shard"));
  for (uint32_t shard = 0; shard < job.shard_count(); ++shard) {
    text += fmt::format("  server {} shard {}: {}, {}\n", shard / job.cluster.shards_per_server,
                        shard, counted(counts[shard], "unit"), counted(bytes[shard], "byte"));
  }
  return text;
}

}  // namespace

std::string describe_memory(const JobConfig& job) {
  std::string text =
      fmt::format("memory of a server ({} of them): {}\nmemory of a worker ({} of them): {}\n",
                  job.cluster.servers, server_memory(job).to_string(), job.cluster.workers,
                  worker_memory(job).to_string());
  if (job.cluster.feeders > 0) {
    text += fmt::format("memory of a feeder ({} of them): {}\n", job.cluster.feeders,
                        feeder_memory(job).to_string());
  }
  return text + fmt::format("memory of all: {}\n", bytes_text(job_memory_bytes(job)));
}

std::string describe_plan(const JobConfig& job) {
  return describe_steps(job) + describe_model(job.model, job.resolved.input_width) +
         describe_shards(job) + describe_memory(job);
}

}  // namespace ballast
