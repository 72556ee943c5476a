#include "tests/sim/draw.h"

#include <algorithm>
#include <array>

namespace ballast::sim {

void draw_servers(ClusterConfig& cluster, Random& rng) {
  cluster.shards_per_server = rng.chance(0.3) ? 2 : 1;
  const uint32_t shards = static_cast<uint32_t>(rng.between(2, 4));
  cluster.servers = std::max(1u, shards / cluster.shards_per_server);
}

JobConfig draw_job(Mode mode, Random& rng) {
  JobConfig job;
  job.name = "sim";
  job.seed = rng.next();
  job.train.mode = mode;
  job.train.lanes = rng.chance(0.7) ? 4 : 8;
  job.train.batch = job.train.lanes * static_cast<uint32_t>(rng.between(2, 4));
  job.train.staleness = static_cast<uint32_t>(rng.between(0, 3));
  job.train.steps_in_flight = static_cast<uint32_t>(rng.chance(0.8) ? rng.between(1, 3) : 8);
  job.train.optimizer.kind =
      std::array{OptimizerKind::kSgd, OptimizerKind::kMomentum, OptimizerKind::kAdam}[rng.below(3)];
  job.train.optimizer.learning_rate = 0.05;
  if (mode != Mode::kSync && job.train.optimizer.kind == OptimizerKind::kSgd) {
    job.train.optimizer.learning_rate = 1;  // fingerprints: ToyModel
    job.train.scale_by_share = false;
  }
  job.resolved.train_rows =
      job.train.batch * 3 + static_cast<uint64_t>(rng.between(1, job.train.batch));
  job.train.epochs = static_cast<uint32_t>(rng.between(6, 9));
  job.train.eval_every_epochs = static_cast<uint32_t>(rng.between(0, 3));
  job.resolved.test_rows = static_cast<uint64_t>(rng.between(0, 40));
  if (job.resolved.test_rows > 0) job.data.test = "test";
  job.resolved.input_width = 3;
  job.model.layers.push_back(
      {.kind = LayerKind::kDense, .units = 4, .activation = Activation::kRelu});
  job.model.layers.push_back({.kind = LayerKind::kDense, .units = 2});
  job.cluster.unit_bytes = 32;
  draw_servers(job.cluster, rng);
  job.cluster.workers = static_cast<uint32_t>(rng.between(3, 4));
  job.cluster.heartbeat_ms = 20;
  job.cluster.dead_after_ms = 150;
  job.cluster.stuck_after_ms = 1000;
  job.cluster.join_deadline_ms = 60000;
  // Within an epoch or at its end; at least 20 steps are left.
  if (rng.chance(0.25)) job.train.max_steps = static_cast<uint64_t>(rng.between(20, 28));
  job.checkpoint.every_steps = static_cast<uint64_t>(rng.between(0, 5));
  job.checkpoint.durability = rng.chance(0.6) ? Durability::kProcess : Durability::kCheckpoint;
  return job;
}

SimFaults draw_weather(Random& rng) {
  const double how_bad = std::array{0.0, 0.3, 1.0, 2.0}[rng.below(4)];
  SimFaults faults;
  faults.loss = 0.02 * how_bad;
  faults.repeat = 0.03 * how_bad;
  faults.delay = 0.03 * how_bad;
  faults.reorder = 0.05 * how_bad;
  faults.reset = 0.002 * how_bad;
  return faults;
}

}  // namespace ballast::sim
