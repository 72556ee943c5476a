#include "worker/tool/settings_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "worker/data/train_sets.h"

namespace ballast {

namespace {

// As far as it can be told without a look at the rows.
bool is_same_place(const std::string& one, const std::string& other) {
  std::error_code ignored;
  return one == other || std::filesystem::equivalent(one, other, ignored);
}

void note_repeated_sets(const DataConfig& data, Findings& notes) {
  const std::vector<TrainSet> sets = train_sets(data);
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto before = std::find_if(
        sets.begin(), sets.begin() + static_cast<ptrdiff_t>(i),
        [&](const TrainSet& set) { return is_same_place(set.location, sets[i].location); });
    if (before == sets.begin() + static_cast<ptrdiff_t>(i)) continue;
    notes.push_back({false, fmt::format("{}.train = \"{}\" is the data set of {}.train too: its "
                                        "rows count twice; a rate says so in one place",
                                        sets[i].table, sets[i].location, before->table)});
  }
}

void note_test_in_training(const JobConfig& job, Findings& notes) {
  const DataConfig& data = job.data;
  if (data.test.empty()) return;
  for (const TrainSet& set : train_sets(data)) {
    const bool only = data.mix.empty();
    const bool copy = only && job.resolved.test_manifest_xxh3 == job.resolved.train_manifest_xxh3 &&
                      !job.resolved.test_manifest_xxh3.empty();
    if (!copy && !is_same_place(set.location, data.test)) continue;
    notes.push_back({false, fmt::format("data.test = \"{}\" has the rows of {}.train: metrics say "
                                        "how well they were learned by heart, not what the model "
                                        "does with other rows",
                                        data.test, set.table)});
  }
}

// Only where the job says how many GPUs there are, and that all workers are on their host.
void note_shared_devices(const ClusterConfig& cluster, Findings& notes) {
  const bool one_host = cluster.transport == TransportKind::kIpc;
  if (cluster.device != Device::kCuda || cluster.devices == 0 || !one_host) return;
  const uint32_t sharing = (cluster.workers + cluster.devices - 1) / cluster.devices;
  if (sharing * cluster.device_memory <= 1 + 1e-6) return;
  const double most = std::floor(1000.0 / sharing) / 1000;  // of which so many fit
  notes.push_back({false, fmt::format("{} workers share a GPU, and each may take {:.0f} % of its "
                                      "memory: set cluster.device_memory to at most {:.3g}, or the "
                                      "last may find none left",
                                      sharing, 100 * cluster.device_memory, most)});
}

}  // namespace

Findings judge_settings(const JobConfig& job) {
  Findings notes;
  note_repeated_sets(job.data, notes);
  note_test_in_training(job, notes);
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
  note_shared_devices(job.cluster, notes);
  return notes;
}

}  // namespace ballast
