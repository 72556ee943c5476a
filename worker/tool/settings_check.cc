#include "worker/tool/settings_check.h"

#include <fmt/format.h>

#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "worker/data/train_sets.h"

namespace ballast {

Findings judge_settings(const JobConfig& job) {
  Findings notes;
  if (job.train.batch > job.resolved.samples()) {
    notes.push_back(
        {false,
         fmt::format("train.batch = {} is more than the {} {} of {}: a step takes all of "
                     "them, and an epoch is one step",
                     job.train.batch, job.resolved.samples(),
                     job.data.resamples() ? "samples of an epoch" : "rows", train_name(job.data))});
  }
  const auto parameters = parameters_of(job.model, job.resolved.input_width);
  const size_t units = cut_units(parameters, job.cluster.unit_bytes).size();
  const uint32_t shards = job.shard_count();
  if (shards > units) {
    notes.push_back(
        {false, fmt::format("{} of {} shards have nothing to hold: the model has {} unit{}; lower "
                            "cluster.servers or shards_per_server, or cluster.unit_bytes = {}",
                            shards - units, shards, units, units == 1 ? "" : "s",
                            job.cluster.unit_bytes)});
  }
  return notes;
}

}  // namespace ballast
