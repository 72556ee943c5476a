#include "worker/tool/memory_sum.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

// One dense layer [100, 50] with bias: 20200 bytes of weights on one server.
JobConfig one_layer_job() {
  JobConfig job;
  job.model.layers = {{.kind = LayerKind::kDense, .units = 50}};
  job.train.batch = 8;
  job.train.lanes = 2;
  job.train.optimizer.kind = OptimizerKind::kAdam;
  job.cluster.workers = 2;
  job.resolved.input_width = 100;
  job.resolved.train_rows = 10;
  return job;
}

TEST(MemorySum, OfAServerIsTheSumOfItsUsers) {
  // 2 versions + 2 states + 2 workers' nodes + (1 version + 2 states) of a checkpoint.
  EXPECT_EQ(server_memory(one_layer_job()).total(), (2 + 2 + 2 + 3) * 20200u);
}

TEST(MemorySum, OfAServerFallsWithMoreServers) {
  JobConfig job = one_layer_job();
  job.cluster.unit_bytes = 1000;
  const uint64_t alone = server_memory(job).total();
  job.cluster.servers = 2;

  EXPECT_LT(server_memory(job).total(), alone * 6 / 10);
}

TEST(MemorySum, CountsEveryByteOnSomeServer) {
  JobConfig job = one_layer_job();
  job.cluster.unit_bytes = 1000;
  job.cluster.servers = 3;
  job.cluster.shards_per_server = 2;

  uint64_t sum = 0;
  for (uint64_t bytes : server_parameter_bytes(job)) sum += bytes;
  EXPECT_EQ(sum, 20200u);
}

TEST(MemorySum, OfAWorkerHoldsTheDataUpToItsBudget) {
  JobConfig job = one_layer_job();
  const uint64_t small = worker_memory(job).total();
  job.resolved.train_rows = 1'000'000'000;
  job.data.memory_mib = 7;

  EXPECT_EQ(worker_memory(job).total() - small, (7u << 20) - 10 * 101 * 4);
}

TEST(MemorySum, IsWrittenOut) {
  const MemorySum sum{{{"a", 1 << 20}, {"b", 3u << 30}}};

  EXPECT_EQ(sum.to_string(), "a 1.00 MiB + b 3.00 GiB = 3.00 GiB");
}

}  // namespace
}  // namespace ballast
