#include "worker/data/batch_loader.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cmath>
#include <future>
#include <set>
#include <thread>

#include "common/base/check.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/eval_loader.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

using testing::HasSubstr;

constexpr uint64_t kRows = 730;
constexpr uint32_t kWidth = 33;

class BatchLoaderTest : public DataFixture {
 protected:
  JobConfig config(Mode mode = Mode::kSync) {
    JobConfig job;
    job.seed = 5;
    job.data.train = write_pixels("train", kRows, kWidth);
    job.data.features = {"pixels"};
    job.data.label = "label";
    job.data.order = Order::kFull;
    job.train.mode = mode;
    return job;
  }

  static std::unique_ptr<BatchLoader> open(const JobConfig& job, const LaneSchedule& schedule) {
    auto loader = BatchLoader::open(job, schedule);
    EXPECT_TRUE(loader.ok()) << loader.status().to_string();
    return std::move(loader).value();
  }

  // Row i of write_pixels, seen through factor and shift.
  static void expect_row(const Batch& batch, uint32_t i, float factor = 1, float shift = 0) {
    const uint64_t row = batch.row_ids[i];
    for (uint32_t k = 0; k < batch.width; ++k) {
      const float stored = static_cast<uint8_t>(row * 7 + k);
      ASSERT_EQ(batch.features[uint64_t{i} * batch.width + k], stored * factor + shift);
    }
    ASSERT_EQ(batch.labels[i], static_cast<float>(row % 10));
  }
};

TEST_F(BatchLoaderTest, GivesEachRowOnceAnEpochWithItsOwnValues) {
  JobConfig job = config();
  TransformConfig scale;
  scale.column = "pixels";
  scale.factor = 0.0625;
  job.data.transforms = {scale};
  const LaneSchedule schedule(kRows, 4, 64, 2);
  const auto loader = open(job, schedule);
  const std::vector<LaneId> lanes = {LaneId(0), LaneId(1), LaneId(2), LaneId(3)};
  loader->follow(lanes, 0);

  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    std::set<uint64_t> seen;
    for (Clock t = 0; t < schedule.steps_per_epoch(); ++t) {
      const Clock clock = epoch * schedule.steps_per_epoch() + t;
      for (LaneId lane : lanes) {
        const Batch batch = loader->take(std::span(&lane, 1), clock).value();
        ASSERT_EQ(batch.rows, schedule.rows_at(lane, clock));
        for (uint32_t i = 0; i < batch.rows; ++i) {
          expect_row(batch, i, 0.0625f);
          EXPECT_TRUE(seen.insert(batch.row_ids[i]).second);
        }
      }
    }
    EXPECT_EQ(seen.size(), kRows);
  }
  EXPECT_EQ(loader->counters().rows, 2 * kRows);
}

TEST_F(BatchLoaderTest, GivesTheSameStreamedRowsFromOneLoaderAsFromOneALane) {
  JobConfig job = config();
  job.data.order = Order::kStrip;
  job.data.window = 3;
  job.data.threads = 2;
  const LaneSchedule schedule(kRows, 4, 64, 2);
  job.train.epochs = 2;
  const auto together = open(job, schedule);
  const std::vector<LaneId> lanes = {LaneId(0), LaneId(1), LaneId(2), LaneId(3)};
  together->follow(lanes, 0);
  std::vector<std::unique_ptr<BatchLoader>> apart;
  for (LaneId lane : lanes) {
    apart.push_back(open(job, schedule));
    apart.back()->follow(std::span(&lane, 1), 0);
  }

  std::set<uint64_t> seen;
  for (Clock clock = 0; clock < schedule.steps(); ++clock) {
    if (clock % schedule.steps_per_epoch() == 0) seen.clear();
    for (LaneId lane : lanes) {
      const Batch one = together->take(std::span(&lane, 1), clock).value();
      const Batch other = apart[lane.value()]->take(std::span(&lane, 1), clock).value();
      ASSERT_TRUE(std::ranges::equal(one.row_ids, other.row_ids));
      for (uint32_t i = 0; i < one.rows; ++i) {
        expect_row(one, i);
        EXPECT_TRUE(seen.insert(one.row_ids[i]).second);
      }
    }
    if ((clock + 1) % schedule.steps_per_epoch() == 0) {
      EXPECT_EQ(seen.size(), kRows);
    }
  }
}

TEST_F(BatchLoaderTest, CountsTheBlocksThatABatchComesFromInEveryOrder) {
  for (const Order order : {Order::kNone, Order::kFull, Order::kStrip}) {
    JobConfig job = config();
    job.data.order = order;
    job.data.window = 5;
    const LaneSchedule schedule(kRows, 1, 40, 1);
    const auto loader = open(job, schedule);
    const auto dataset = Dataset::open(job.data.train).value();
    uint64_t sum = 0, least = 99, batches = 0;
    const LaneId lane(0);
    for (Clock clock = 0; clock < schedule.steps(); ++clock) {
      const Batch batch = loader->take(std::span(&lane, 1), clock).value();
      if (batch.rows < 40 || (order != Order::kStrip && clock % 16 != 0)) continue;
      std::set<uint64_t> blocks;
      for (uint64_t row : batch.row_ids) blocks.insert(dataset->place(row).block);
      sum += blocks.size();
      least = std::min<uint64_t>(least, blocks.size());
      ++batches;
    }

    const LoaderCounters counters = loader->counters();

    EXPECT_EQ(counters.blocks, sum);
    EXPECT_EQ(counters.blocks_batches, batches);
    EXPECT_EQ(counters.blocks_min, least);
    EXPECT_EQ(batches, order == Order::kStrip ? 18u : 2u);
    std::filesystem::remove_all(job.data.train);
  }
}

TEST_F(BatchLoaderTest, SaysWhichBlockOfAStreamIsDamaged) {
  JobConfig job = config();
  job.data.order = Order::kStrip;
  job.data.window = 3;
  const LaneSchedule schedule(kRows, 1, 64, 1);
  const auto loader = open(job, schedule);
  const auto dataset = open_filled_dataset(job.data.train).value();
  flip_bit(dataset->chunk_path(0), dataset->block(0).stored.offset + 17);
  const LaneId lane(0);
  loader->follow(std::span(&lane, 1), 0);

  Status failure;
  for (Clock clock = 0; clock < schedule.steps() && failure.ok(); ++clock) {
    const Result<Batch> batch = loader->take(std::span(&lane, 1), clock);
    if (!batch.ok()) failure = batch.status();
  }

  EXPECT_EQ(failure.code(), Code::kDataLoss);
  EXPECT_THAT(failure.to_string(), HasSubstr(".blc"));
}

TEST_F(BatchLoaderTest, PutsLanesOneAfterAnotherInTheOrderGiven) {
  const JobConfig job = config(Mode::kAsync);
  const LaneSchedule schedule(kRows, 4, 64, 1);
  const auto loader = open(job, schedule);
  const LaneId pair[] = {LaneId(1), LaneId(3)};
  loader->follow(pair, 2);

  const Batch both = loader->take(pair, 2).value();
  const Batch first = loader->take(std::span(pair, 1), 2).value();

  ASSERT_EQ(both.rows, 32u);
  ASSERT_EQ(first.rows, 16u);
  EXPECT_TRUE(std::equal(first.features.begin(), first.features.end(), both.features.begin()));
  EXPECT_EQ(both.lanes, (std::vector<LaneId>{LaneId(1), LaneId(3)}));
}

TEST_F(BatchLoaderTest, GivesTheSameBatchesWhateverIsFollowedAndWithAnyThreads) {
  JobConfig job = config();
  const LaneSchedule schedule(kRows, 2, 32, 1);
  const auto alone = open(job, schedule);
  job.data.threads = 3;
  const auto helped = open(job, schedule);
  const LaneId lane(1);
  helped->follow(std::span(&lane, 1), 0);

  for (Clock clock = 0; clock < schedule.steps(); ++clock) {
    const Batch a = alone->take(std::span(&lane, 1), clock).value();
    const Batch b = helped->take(std::span(&lane, 1), clock).value();
    EXPECT_TRUE(std::equal(a.row_ids.begin(), a.row_ids.end(), b.row_ids.begin(), b.row_ids.end()));
    EXPECT_TRUE(
        std::equal(a.features.begin(), a.features.end(), b.features.begin(), b.features.end()));
  }
}

// A taker whose batch the loader is at fills the next one meanwhile, and the other taker comes for
// that one. Which of the three is first is the scheduler's choice: many rounds.
TEST_F(BatchLoaderTest, WakesATakerWhoseBatchAnotherTakerFilled) {
  constexpr uint32_t kManyRows = 20000;
  JobConfig job = config();
  job.data.train = write_pixels("many", kManyRows, kWidth);
  const LaneSchedule schedule(kManyRows, 2, kManyRows, 1);
  const LaneId lanes[] = {LaneId(0), LaneId(1)};
  const auto has_begun = [](const LoaderCounters& counters) {
    return counters.batches_waited + counters.batches_missed + counters.batches_ready > 0;
  };

  for (int round = 0; round < 50; ++round) {
    const auto loader = open(job, schedule);
    const auto take = [&](int lane) { return loader->take({&lanes[lane], 1}, 0).value().rows; };
    auto second = std::async(std::launch::async, [&] {
      while (!has_begun(loader->counters())) std::this_thread::yield();
      return take(1);
    });
    loader->follow(lanes, 0);
    for (int i = 0; i < 20 * round; ++i) std::this_thread::yield();  // the loader may begin
    const uint32_t rows = take(0);

    BALLAST_CHECK(second.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
    EXPECT_EQ(rows + second.get(), kManyRows);
  }
}

TEST_F(BatchLoaderTest, ShowsTheNextBatchBeforeItIsTaken) {
  const LaneSchedule schedule(kRows, 2, 32, 100);
  const auto loader = open(config(), schedule);
  const LaneId lanes[] = {LaneId(0), LaneId(1)};
  EXPECT_EQ(loader->next_ready(), nullptr) << "no lane is followed";
  loader->follow(lanes, 0);
  const auto next = [&] {
    std::shared_ptr<const Batch> found;
    while ((found = loader->next_ready()) == nullptr) std::this_thread::yield();
    return found;
  };

  for (Clock clock = 0; clock < 20; ++clock) {
    for (const LaneId lane : lanes) {
      const std::shared_ptr<const Batch> shown = next();
      EXPECT_EQ(next(), shown) << "it stays";
      EXPECT_EQ(shown->number, clock);
      EXPECT_EQ(shown->lanes, std::vector{lane});

      const Batch taken = loader->take(std::span(&lane, 1), clock).value();
      EXPECT_EQ(taken.features.data(), shown->features.data());
      EXPECT_EQ(taken.row_ids.data(), shown->row_ids.data());
    }
  }
  const std::shared_ptr<const Batch> shown = next();
  const std::vector<float> before(shown->features.begin(), shown->features.end());
  loader->follow(lanes, 90);  // the plan drops it
  while (next()->number != 90) std::this_thread::yield();
  EXPECT_TRUE(std::ranges::equal(shown->features, before));
  EXPECT_EQ(loader->counters().batches_ready, 40u);
}

TEST_F(BatchLoaderTest, EndsCleanlyWithBatchesPreparedAndOneStillHeld) {
  Batch kept;
  {
    const LaneSchedule schedule(kRows, 2, 32, 100);
    const auto loader = open(config(), schedule);
    const LaneId lanes[] = {LaneId(0), LaneId(1)};
    loader->follow(lanes, 0);
    kept = loader->take(std::span(lanes, 1), 0).value();
  }

  expect_row(kept, 0);
  EXPECT_THAT(kept.row_name(0), HasSubstr(".blc, block "));
}

TEST_F(BatchLoaderTest, RefusesABudgetThatIsTooSmallWithTheArithmetic) {
  JobConfig job = config();
  job.data.train = write_pixels("large", 2000, 1024);
  job.data.memory_mib = 1;

  const auto loader = BatchLoader::open(job, LaneSchedule(2000, 2, 32, 1));

  ASSERT_EQ(loader.status().code(), Code::kInvalidInput);
  EXPECT_THAT(loader.status().to_string(), HasSubstr("train 2000 rows x 1028 B"));
  EXPECT_THAT(loader.status().to_string(), HasSubstr("set data.memory_mib to 3 or more"));
}

TEST_F(BatchLoaderTest, RefusesNanWithChunkBlockRowAndColumn) {
  JobConfig job = config();
  job.data.train = write_floats("nan", {1, 2, 3, std::nanf(""), 5, 6}, 2);
  job.data.features = {"values"};

  const auto loader = BatchLoader::open(job, LaneSchedule(3, 1, 1, 1));

  ASSERT_EQ(loader.status().code(), Code::kInvalidInput);
  EXPECT_THAT(loader.status().to_string(),
              HasSubstr(".blc, block 0, row 1, column \"values\", value 1: a finite number "
                        "expected, nan found"));
}

TEST(EvalSlice, CoversEveryRowOnceInOrder) {
  for (uint64_t rows : {0, 1, 5, 100, 1797}) {
    for (uint32_t lanes : {1, 3, 8, 200}) {
      uint64_t next = 0;
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        const EvalSlice slice = eval_slice(rows, LaneId(lane), lanes);
        EXPECT_EQ(slice.first, next);
        EXPECT_EQ(slice.first, rows * lane / lanes);
        next = slice.last;
      }
      EXPECT_EQ(next, rows);
    }
  }
}

TEST_F(BatchLoaderTest, EvaluatesTheStoredOrderInBatchesOfAtMostTheBound) {
  const JobConfig job = config();
  const auto loader = EvalLoader::open(job, job.data.train, /*lanes=*/3, /*rows max=*/100).value();

  uint64_t next = 0;
  for (uint32_t lane = 0; lane < 3; ++lane) {
    for (uint64_t index = 0; index < loader->batches(LaneId(lane)); ++index) {
      const Batch batch = loader->take(LaneId(lane), index);
      EXPECT_LE(batch.rows, 100u);
      for (uint32_t i = 0; i < batch.rows; ++i) {
        EXPECT_EQ(batch.row_ids[i], next++);
        expect_row(batch, i);
      }
    }
  }
  EXPECT_EQ(next, kRows);
}

}  // namespace
}  // namespace ballast
