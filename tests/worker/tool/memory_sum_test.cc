#include "worker/tool/memory_sum.h"

#include <gtest/gtest.h>

#include "common/storage/rocks_records.h"

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

uint64_t user_bytes(const MemorySum& sum, const std::string& name) {
  for (const MemoryUser& user : sum.users) {
    if (user.name.starts_with(name)) return user.bytes;
  }
  ADD_FAILURE() << "no " << name << " in " << sum.to_string();
  return 0;
}

TEST(MemorySum, OfAServerIsTheSumOfItsUsers) {
  // 2 versions + 2 states + 2 workers' nodes + weights and 2 states of a checkpoint, and the
  // program.
  EXPECT_EQ(server_memory(one_layer_job()).total(), (2 + 2 + 2 + 3) * 20200u + (18u << 20));
}

TEST(MemorySum, OfAServerHasOneVersionWhereUpdatesAreAppliedAsTheyCome) {
  JobConfig job = one_layer_job();
  const uint64_t sync = server_memory(job).total();
  job.train.mode = Mode::kAsync;

  EXPECT_EQ(sync - server_memory(job).total(), 20200u);
}

TEST(MemorySum, OfAServerCountsTheNodesThatAreThereAtOnce) {
  JobConfig job = one_layer_job();
  const auto nodes = [&](uint32_t workers, uint32_t lanes) {
    job.cluster.workers = workers;
    job.train.lanes = lanes;
    return user_bytes(server_memory(job), "waiting nodes") / 20200;
  };

  EXPECT_EQ(nodes(1, 4), 1u);  // [0, 4)
  EXPECT_EQ(nodes(2, 4), 2u);  // [0, 2) [2, 4)
  EXPECT_EQ(nodes(3, 4), 3u);  // [0, 2) [2, 3) [3, 4)
  // [0, 2) [2, 3), [3, 4) [4, 6), [6, 8): the last finds the older version gone.
  EXPECT_EQ(nodes(3, 8), 4u);
  job.train.mode = Mode::kAsync;
  EXPECT_EQ(nodes(3, 8), 3u);
}

TEST(MemorySum, CountsTheStepsInFlightWhereThereCanBeSeveral) {
  JobConfig job = one_layer_job();
  for (const Mode mode : {Mode::kSync, Mode::kSsp, Mode::kAsync}) {
    job.train.mode = mode;
    job.train.steps_in_flight = 1;
    const uint64_t nodes = user_bytes(server_memory(job), "waiting nodes");
    const uint64_t gradients = user_bytes(worker_memory(job), "gradients");
    job.train.steps_in_flight = 3;
    const uint64_t steps = mode == Mode::kSync ? 1 : 3;

    EXPECT_EQ(user_bytes(server_memory(job), "waiting nodes"), steps * nodes);
    EXPECT_EQ(user_bytes(worker_memory(job), "arriving weights"),
              (steps > 2 ? 2 : 1) * user_bytes(worker_memory(job), "weights"));
    EXPECT_EQ(user_bytes(worker_memory(job), "gradients"), gradients + (steps - 1) * 20200);
  }
}

TEST(MemorySum, OfAServerCountsWhatTheJournalHolds) {
  JobConfig job = one_layer_job();
  job.cluster.shards_per_server = 2;
  const uint64_t without = server_memory(job).total();
  job.checkpoint.durability = Durability::kProcess;
  const MemorySum sync = server_memory(job);
  job.train.mode = Mode::kAsync;
  const MemorySum async = server_memory(job);

  EXPECT_EQ(user_bytes(sync, "journal copies"), 2 * 20200u);
  EXPECT_EQ(user_bytes(sync, "journal tables"), 2 * kRecordsMemoryBytes);
  EXPECT_EQ(sync.total() - without, 2 * 20200u + 2 * kRecordsMemoryBytes);
  EXPECT_EQ(user_bytes(async, "journal copies"), 2 * 2 * 20200u);
}

TEST(MemorySum, OfAServerFallsWithMoreServers) {
  JobConfig job = one_layer_job();
  job.model.layers[0].units = 50'000;  // 20 MB: the program itself does not fall
  job.cluster.unit_bytes = 100'000;
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

TEST(MemorySum, OfAWorkerHoldsBothDataSetsAsTheyAreStored) {
  JobConfig job = one_layer_job();
  job.resolved.train_row_bytes = 104;
  job.resolved.test_rows = 7;
  job.resolved.test_row_bytes = 105;

  const MemorySum sum = worker_memory(job);

  EXPECT_EQ(user_bytes(sum, "train rows"), 10u * 104);
  EXPECT_EQ(user_bytes(sum, "test rows"), 7u * 105);
}

TEST(MemorySum, HasTheListOfBlocksOfAWorkerAndOfAFeederWhichHasNoTestSet) {
  JobConfig job = one_layer_job();
  job.cluster.feeders = 1;
  job.resolved.train_blocks = 1000;
  job.resolved.test_blocks = 100;

  EXPECT_EQ(user_bytes(worker_memory(job), "list of blocks"), 1000u * 44 + 100u * 40);
  EXPECT_EQ(user_bytes(feeder_memory(job), "list of blocks"), 1000u * 44);
}

TEST(MemorySum, OfAWorkerHoldsTheBatchesOfItsLoaders) {
  JobConfig job = one_layer_job();
  const MemorySum sync = worker_memory(job);
  // 2 steps ahead of 2 lanes, 1 loader thread, 1 with the worker: 4 rows of 100 + 1 floats, in
  // multiples of 64 bytes, their weights and their ids.
  EXPECT_EQ(user_bytes(sync, "batches (6)"), 6u * (1600 + 64 + 64 + 64));
  EXPECT_EQ(user_bytes(sync, "evaluation batch"), 0u);

  job.cluster.device = Device::kCuda;  // one more on its way there
  EXPECT_EQ(user_bytes(worker_memory(job), "batches (7)"), 7u * (1600 + 64 + 64 + 64));

  job.cluster.device = Device::kCpu;
  job.train.mode = Mode::kAsync;
  job.resolved.test_rows = 7;
  const MemorySum async = worker_memory(job);

  EXPECT_EQ(user_bytes(async, "batches (4)"), 4u * (3200 + 64 + 64 + 64));
  EXPECT_EQ(user_bytes(async, "evaluation batch"), 512u * (400 + 4 + 4 + 8));
}

TEST(MemorySum, HoldsPortionsOnlyWhereThereAreFeeders) {
  JobConfig job = one_layer_job();
  const uint64_t without = worker_memory(job).total();
  const uint64_t all_without = job_memory_bytes(job);
  job.cluster.feeders = 2;

  const MemorySum worker = worker_memory(job);
  EXPECT_EQ(worker.total() - without, user_bytes(worker, "portions from feeders"));
  EXPECT_GT(user_bytes(worker, "portions from feeders"), 0u);
  const MemorySum feeder = feeder_memory(job);
  EXPECT_GT(user_bytes(feeder, "portions (at most"), 0u);
  EXPECT_EQ(job_memory_bytes(job) - all_without,
            2 * feeder.total() + job.cluster.workers * user_bytes(worker, "portions from feeders"));
}

TEST(MemorySum, OfAWorkerHasLayersAndTheLocalOptimizerWhereTheDeviceHasNoMemoryOfItsOwn) {
  JobConfig job = one_layer_job();
  EXPECT_EQ(user_bytes(worker_memory(job), "local optimizer"), 0u);
  job.train.push = PushKind::kDelta;

  EXPECT_EQ(user_bytes(worker_memory(job), "local optimizer"), 3 * 20200u)
      << "the weights as they were and two moments";
  EXPECT_GE(user_bytes(worker_memory(job), "layers"), 2u * 512 * 100 * sizeof(float));
  job.cluster.device = Device::kCuda;
  EXPECT_EQ(user_bytes(worker_memory(job), "local optimizer"), 0u);
  EXPECT_EQ(user_bytes(worker_memory(job), "layers"), 0u);
}

TEST(MemorySum, IsWrittenOut) {
  const MemorySum sum{{{"a", 1 << 20}, {"b", 3u << 30}}};

  EXPECT_EQ(sum.to_string(), "a 1.00 MiB + b 3.00 GiB = 3.00 GiB");
}

}  // namespace
}  // namespace ballast
