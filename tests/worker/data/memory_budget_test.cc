#include "worker/data/memory_budget.h"

#include <gmock/gmock.h>

#include "worker/data/source/cache_ranks.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// 100 MiB of rows of 160 bytes in blocks of 1 MiB.
JobConfig large_job() {
  JobConfig job;
  job.data.train = "train";
  job.train.batch = 64;
  job.train.lanes = 4;
  job.cluster.workers = 2;
  job.resolved.train_rows = (100 << 20) / 160;
  job.resolved.train_row_bytes = 160;
  job.resolved.train_blocks = 100;
  job.resolved.train_block_rows = (1 << 20) / 160;
  job.resolved.train_block_bytes = 1 << 20;
  job.resolved.input_width = 39;
  return job;
}

uint64_t needed_bytes(const JobConfig& job) {
  return loader_memory(job, schedule_of(job)).total();
}

TEST(ChooseOrder, HoldsAllRowsWhereTheyFit) {
  JobConfig job = large_job();
  job.data.memory_mib = 110;

  choose_order(job);

  EXPECT_EQ(job.data.order, Order::kFull);
  EXPECT_EQ(job.data.window, 0u);
}

TEST(ChooseOrder, StreamsWithTheWidestWindowThatFits) {
  JobConfig job = large_job();
  job.cluster.workers = 1;
  job.data.memory_mib = 60;

  choose_order(job);

  ASSERT_EQ(job.data.order, Order::kStrip);
  job.data.threads = kLoaderThreadsMost;
  EXPECT_LE(needed_bytes(job), 60u << 20);
  ++job.data.window;
  EXPECT_GT(needed_bytes(job), 60u << 20);
}

TEST(ChooseOrder, DoesNotDependOnTheNumberOfWorkers) {
  JobConfig one = large_job();
  one.data.memory_mib = 60;
  one.cluster.workers = 1;
  JobConfig four = one;
  four.cluster.workers = 4;

  choose_order(one);
  choose_order(four);

  EXPECT_EQ(one.data.order, four.data.order);
  EXPECT_EQ(one.data.window, four.data.window);
}

TEST(ChooseOrder, DoesNotDependOnTheNumberOfThreads) {
  JobConfig one = large_job();
  one.data.memory_mib = 60;
  one.resolved.input_width = 20'000;  // a batch is worth several blocks
  one.data.threads = 1;
  JobConfig eight = one;
  eight.data.threads = 8;

  choose_order(one);
  choose_order(eight);

  EXPECT_EQ(one.data.window, eight.data.window);
}

TEST(ChooseThreads, SharesHalfOfTheProcessorsAmongTheWorkers) {
  const auto chosen = [](uint32_t workers, uint32_t processors, uint32_t said = 0) {
    JobConfig job = large_job();
    job.cluster.workers = workers;
    job.data.threads = said;
    choose_threads(job, processors);
    return job.data.threads;
  };

  EXPECT_EQ(chosen(2, 2), 1u);
  EXPECT_EQ(chosen(2, 16), 4u);
  EXPECT_EQ(chosen(1, 128), kLoaderThreadsMost);
  EXPECT_EQ(chosen(64, 16), 1u);
  EXPECT_EQ(chosen(2, 16, 3), 3u) << "what the user says";
}

TEST(ChooseOrder, LeavesAloneWhatTheUserHasSaid) {
  JobConfig full = large_job();
  full.data.order = Order::kFull;
  full.data.memory_mib = 1;
  JobConfig strip = large_job();
  strip.data.order = Order::kStrip;
  strip.data.window = 7;

  choose_order(full);
  choose_order(strip);

  EXPECT_EQ(full.data.order, Order::kFull);
  EXPECT_EQ(strip.data.order, Order::kStrip);
  EXPECT_EQ(strip.data.window, 7u);
}

TEST(LoaderMemory, RefusesAStreamThatDoesNotFitWithTheArithmetic) {
  JobConfig job = large_job();
  job.data.memory_mib = 5;
  choose_order(job);

  const Status status = loader_memory(job, schedule_of(job)).check(job.data.memory_mib);

  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr("train 9 blocks x 1048576 B"), HasSubstr("data.memory_mib = 5"),
                    HasSubstr("data.window"), HasSubstr("--block-kib")));
}

TEST(LoaderMemory, CountsABlockOnceHoweverManyLanesMixIt) {
  JobConfig job = large_job();
  job.train.lanes = 32;
  job.cluster.workers = 1;
  job.data.order = Order::kStrip;
  job.data.window = 64;
  job.resolved.train_blocks = 5;

  EXPECT_EQ(loader_memory(job, schedule_of(job)).blocks, 5u);
}

// 8 blocks for the lanes of one of two workers and one for a late reader, the rest of the budget to
// keep others.
TEST(LoaderMemory, KeepsBlocksInWhatTheBudgetLeaves) {
  JobConfig job = large_job();
  job.data.order = Order::kStrip;
  job.data.window = 2;
  uint64_t kept = 0;
  for (uint64_t mib = 10; mib <= 120; ++mib) {
    const bool is_tight = mib < 14;  // no room for four blocks ahead of each lane
    const uint64_t blocks = is_tight ? 9 : 13;
    job.data.memory_mib = mib;
    const LoaderMemory memory = loader_memory(job, schedule_of(job));

    EXPECT_TRUE(memory.check(mib).ok());
    EXPECT_EQ(memory.blocks, blocks);
    EXPECT_EQ(memory.kept_blocks, std::min<uint64_t>(mib - blocks - 1, 100 - blocks))
        << mib << " MiB";
    kept = memory.kept_blocks;
  }
  EXPECT_EQ(kept, 87u) << "no more than there are";
  EXPECT_THAT(loader_memory(job, schedule_of(job)).to_string(),
              HasSubstr("train 13 blocks x 1048576 B + 87 kept x 1048576 B + their order"));
}

TEST(LoaderMemory, KeepsNothingWhereTheBudgetLeavesNothing) {
  JobConfig job = large_job();
  job.data.order = Order::kStrip;
  job.data.window = 2;
  job.data.memory_mib = 1 << 20;
  LoaderMemory plain = loader_memory(job, schedule_of(job));
  job.data.memory_mib = 9;
  const LoaderMemory least = loader_memory(job, schedule_of(job));

  EXPECT_EQ(least.kept_blocks, 0u);
  EXPECT_LT(least.order_bytes, plain.order_bytes);
  EXPECT_EQ(least.to_string().find("kept"), std::string::npos);
}

TEST(ChooseOrder, DoesNotDependOnACacheOnFeedersOrOnWhereTheDataLies) {
  JobConfig folder = large_job();
  folder.data.memory_mib = 60;
  folder.resolved.train_blocks = 10'000;  // their list in the cache is worth several blocks
  JobConfig far = folder;
  far.data.train = "http://host/train";
  far.data.cache = "cache";
  far.cluster.feeders = 2;

  choose_order(folder);
  choose_order(far);

  EXPECT_EQ(folder.data.window, far.data.window);
  far.data.threads = kLoaderThreadsMost;
  far.cluster.workers = 1;
  EXPECT_LE(needed_bytes(far), 60u << 20) << "the cache's list has room";
}

TEST(LoaderMemory, CountsTheListOfBlocksOfBothSetsInEveryOrder) {
  JobConfig job = large_job();
  job.resolved.test_blocks = 10;
  for (const Order order : {Order::kFull, Order::kNone, Order::kStrip}) {
    job.data.order = order;
    const LoaderMemory memory = loader_memory(job, schedule_of(job));

    EXPECT_EQ(memory.list_bytes, 100u * (40 + 4) + 10u * 40);
    EXPECT_THAT(memory.to_string(), HasSubstr(" + list of blocks 4800 B"));
  }
  job.data.mix = {{.train = "more", .rate = 1}};
  EXPECT_EQ(loader_memory(job, schedule_of(job)).list_bytes, 100u * (80 + 4) + 10u * 40)
      << "of each set, and of all";
}

TEST(ChooseOrder, LeavesRoomForTheListOfBlocks) {
  JobConfig job = large_job();
  job.cluster.workers = 1;
  job.data.memory_mib = 60;
  choose_order(job);
  JobConfig listed = large_job();
  listed.cluster.workers = 1;
  listed.data.memory_mib = 60;
  listed.resolved.test_blocks = 500'000;  // 19 MiB
  choose_order(listed);

  EXPECT_LT(listed.data.window, job.data.window);
  listed.data.threads = kLoaderThreadsMost;
  EXPECT_LE(needed_bytes(listed), 60u << 20);
}

TEST(LoaderMemory, SaysWhenTheBlocksAreTooMany) {
  JobConfig job = large_job();
  job.data.order = Order::kStrip;
  job.data.window = 2;
  job.resolved.train_blocks = 1'000'000;
  job.resolved.train_block_bytes = 4096;
  job.data.memory_mib = 60;

  EXPECT_THAT(loader_memory(job, schedule_of(job)).check(job.data.memory_mib).to_string(),
              AllOf(HasSubstr(" + list of blocks 44000000 B"), HasSubstr("larger --block-kib")));
}

TEST(LoaderMemory, BlamesNoSmallBlocksWhereItsPermutationsAreLarge) {
  JobConfig job = large_job();
  job.data.order = Order::kStrip;
  job.data.window = 64;
  job.train.lanes = 32;
  job.cluster.workers = 1;
  job.resolved.train_blocks = 763;
  job.resolved.train_block_bytes = 2 << 20;
  job.resolved.train_block_rows = 13'107;
  job.data.memory_mib = 64;
  const LoaderMemory memory = loader_memory(job, schedule_of(job));
  ASSERT_GT(memory.order_bytes, 32u << 20);

  EXPECT_THAT(memory.check(job.data.memory_mib).to_string(), HasSubstr("smaller --block-kib"));
}

TEST(LoaderMemory, CountsTheListOfTheDiskCacheOnlyWhereThereIsOne) {
  JobConfig job = large_job();
  job.data.order = Order::kFull;
  EXPECT_EQ(loader_memory(job, schedule_of(job)).cache_bytes, 0u);
  job.data.cache = "cache";
  EXPECT_EQ(loader_memory(job, schedule_of(job)).cache_bytes, 0u) << "a folder is read itself";
  job.data.mix = {{.train = "s3://bucket/more", .rate = 1}};
  const LoaderMemory memory = loader_memory(job, schedule_of(job));

  const uint64_t pieces = 100 + schedule_of(job).lanes();
  EXPECT_EQ(memory.cache_bytes, pieces * CacheRanks::kBytesPerRange);
  EXPECT_THAT(memory.to_string(), HasSubstr(" + list of the disk cache 69888 B"));
}

TEST(LoaderMemory, CountsWhatEachThreadDecodesWhileRowsAreReadIntoMemory) {
  JobConfig job = large_job();
  job.data.order = Order::kFull;
  job.data.threads = 3;
  const uint64_t plain = needed_bytes(job);
  job.resolved.train_decode_bytes = 1000;

  EXPECT_EQ(needed_bytes(job), plain + 3000);
  EXPECT_THAT(loader_memory(job, schedule_of(job)).to_string(), HasSubstr(" + decoding 3000 B"));
  job.data.train = "http://host/train";
  EXPECT_EQ(needed_bytes(job), plain + 8000) << "more read at a time from afar";
  job.data.order = Order::kStrip;
  EXPECT_EQ(loader_memory(job, schedule_of(job)).decode_bytes, 0u) << "slots have room for it";
}

TEST(LoaderMemory, KeepsFewerBlocksBesidePortionsOfFeeders) {
  JobConfig job = large_job();
  job.data.order = Order::kStrip;
  job.data.window = 2;
  job.data.memory_mib = 60;
  const LoaderMemory alone = loader_memory(job, schedule_of(job));
  const LoaderMemory fed = loader_memory(job, schedule_of(job), {10, 1 << 20});

  EXPECT_EQ(fed.kept_blocks, alone.kept_blocks - 10);
  EXPECT_TRUE(fed.check(60).ok());
}

TEST(LoaderMemory, RefusesPortionsThatDoNotFitWithTheArithmetic) {
  JobConfig job = large_job();
  job.data.order = Order::kStrip;
  job.data.window = 2;
  job.data.memory_mib = 20;
  ASSERT_TRUE(loader_memory(job, schedule_of(job)).check(20).ok());

  const Status status = loader_memory(job, schedule_of(job), {20, 1 << 20}).check(20);

  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr("data.memory_mib = 20: the loader needs train 9 blocks"),
                    HasSubstr(" + 20 portions of feeders x 1048576 B"),
                    HasSubstr("or use fewer train.lanes, a smaller train.batch, or no "
                              "cluster.feeders")));
}

TEST(LoaderMemory, SaysWhenTheTestSetAloneIsTooLarge) {
  JobConfig job = large_job();
  job.data.memory_mib = 10;
  job.resolved.test_rows = 1 << 20;
  job.resolved.test_row_bytes = 160;
  choose_order(job);

  EXPECT_THAT(loader_memory(job, schedule_of(job)).check(job.data.memory_mib).to_string(),
              HasSubstr("fewer test rows"));
}

}  // namespace
}  // namespace ballast
