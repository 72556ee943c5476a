#include "worker/data/order_replay.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/batch_loader.h"
#include "worker/data/copy_rows.h"
#include "worker/data/order_ledger.h"

namespace ballast {
namespace {

constexpr uint64_t kRows = 730;  // 15 blocks; lanes of 183 and 182 rows: some end a step early

class OrderReplayTest : public DataFixture {
 protected:
  JobConfig job_of(Order order) {
    JobConfig job;
    job.seed = 5;
    job.data.train = write_pixels("train", kRows, 3);
    job.data.features = {"pixels"};
    job.data.label = "label";
    job.data.order = order;
    job.data.window = order == Order::kStrip ? 3 : 0;
    job.train.epochs = 2;
    job.train.lanes = 4;
    job.train.batch = 28;
    job.resolved.train_rows = kRows;
    dataset_ = Dataset::open(job.data.train).value();
    return job;
  }

  std::shared_ptr<const Dataset> dataset_;
};

TEST_F(OrderReplayTest, SaysWhichRowsTheLoaderGivesInEveryOrder) {
  for (const Order order : {Order::kFull, Order::kNone, Order::kStrip}) {
    const JobConfig job = job_of(order);
    OrderReplay replay = OrderReplay::open(job, dataset_).value();
    const auto loader = BatchLoader::open(job, replay.schedule()).value();
    for (Clock clock = 0; clock < replay.schedule().steps(); ++clock) {
      for (uint32_t number = 0; number < job.train.lanes; ++number) {
        const LaneId lane(number);
        const Batch batch = loader->take({&lane, 1}, clock).value();
        ASSERT_TRUE(std::ranges::equal(replay.rows(lane, clock).value(), batch.row_ids));
      }
    }
    std::filesystem::remove_all(job.data.train);
  }
}

TEST_F(OrderReplayTest, SaysTheSameOfAStepWhateverItWasAskedBefore) {
  const JobConfig job = job_of(Order::kStrip);
  OrderReplay forward = OrderReplay::open(job, dataset_).value();
  for (Clock clock = 0; clock < 30; ++clock) (void)forward.rows(LaneId(2), clock);
  const std::vector<uint64_t> expected = forward.rows(LaneId(2), 30).value();

  EXPECT_EQ(OrderReplay::open(job, dataset_)->rows(LaneId(2), 30).value(), expected);
  (void)forward.rows(LaneId(1), 51);
  EXPECT_EQ(forward.rows(LaneId(2), 30).value(), expected);
}

TEST_F(OrderReplayTest, AddsUpTheStepsOfALaneBelowEachClock) {
  const JobConfig job = job_of(Order::kStrip);
  OrderReplay replay = OrderReplay::open(job, dataset_).value();
  const LaneId lane(3);
  const LaneSchedule& schedule = replay.schedule();
  uint64_t first_ten = 0;
  uint64_t all = 0;
  for (Clock clock = 0; clock < schedule.steps(); ++clock) {
    if (!schedule.present(lane, clock)) continue;
    all += batch_hash(lane, clock, replay.rows(lane, clock).value());
    if (clock < 10) first_ten = all;
  }

  const std::map<Clock, uint64_t> ledgers = replay.ledgers(lane, {0, 10, kNever}).value();

  EXPECT_EQ(ledgers, (std::map<Clock, uint64_t>{{0, 0}, {10, first_ten}, {kNever, all}}));
}

TEST_F(OrderReplayTest, StepsOfSeveralBatchesHaveTheirRowsAndTheSumOfTheirNames) {
  JobConfig job = job_of(Order::kStrip);
  OrderReplay single = OrderReplay::open(job, dataset_).value();  // 27 batches an epoch
  job.train.local_steps = 4;                                      // 6 steps of 4, one of 3
  OrderReplay replay = OrderReplay::open(job, dataset_).value();
  const LaneSchedule& schedule = replay.schedule();
  ASSERT_EQ(schedule.steps(), 14u);
  const auto loader = BatchLoader::open(job, schedule).value();
  for (const LaneId lane : {LaneId(0), LaneId(3)}) {  // lane 3 is absent from the last batches
    uint64_t sum = 0;
    for (Clock clock = 0; clock < schedule.steps(); ++clock) {
      std::vector<uint64_t> rows;
      for (uint64_t i = 0; i < schedule.batches_at(clock); ++i) {
        const Clock number = schedule.first_batch(clock) + i;
        const std::vector<uint64_t> batch = single.rows(lane, number).value();
        rows.insert(rows.end(), batch.begin(), batch.end());
        const Batch taken = loader->take({&lane, 1}, number).value();
        ASSERT_TRUE(std::ranges::equal(taken.row_ids, batch));
        sum += taken.rows_hashes.front();
      }
      ASSERT_EQ(replay.rows(lane, clock).value(), rows);
    }
    EXPECT_EQ(replay.ledgers(lane, {kNever}).value().at(kNever), sum);
  }
}

TEST_F(OrderReplayTest, NamesAnotherOrderOfTheSameRowsAndAnotherStepDifferently) {
  const std::vector<uint64_t> rows = {1, 2, 3};
  const std::vector<uint64_t> turned = {1, 3, 2};

  EXPECT_NE(batch_hash(LaneId(0), 4, rows), batch_hash(LaneId(0), 4, turned));
  EXPECT_NE(batch_hash(LaneId(0), 4, rows), batch_hash(LaneId(0), 5, rows));
  EXPECT_NE(batch_hash(LaneId(0), 4, rows), batch_hash(LaneId(1), 4, rows));
}

TEST_F(OrderReplayTest, BatchesNameTheRowsOfEachOfTheirLanes) {
  const JobConfig job = job_of(Order::kFull);
  OrderReplay replay = OrderReplay::open(job, dataset_).value();
  const auto loader = BatchLoader::open(job, replay.schedule()).value();
  const std::vector<LaneId> lanes = {LaneId(1), LaneId(3)};

  const Batch batch = loader->take(lanes, 6).value();

  EXPECT_EQ(batch.rows_hashes,
            (std::vector<uint64_t>{batch_hash(lanes[0], 6, replay.rows(lanes[0], 6).value()),
                                   batch_hash(lanes[1], 6, replay.rows(lanes[1], 6).value())}));
}

TEST_F(OrderReplayTest, CopiesRowsOfManyBlocksInTheOrderGiven) {
  write_pixels("train", kRows, 3);
  dataset_ = Dataset::open(path("train")).value();
  const std::vector<uint64_t> rows = {700, 3, 51, 3, 333};

  const Status copied = copy_rows(*dataset_, rows, path("copy"), false);

  ASSERT_TRUE(copied.ok()) << copied.to_string();
  JobConfig job;
  job.data.train = path("copy");
  job.data.features = {"pixels"};
  job.data.label = "label";
  job.data.order = Order::kNone;
  const auto loader = BatchLoader::open(job, LaneSchedule(rows.size(), 1, 5, 1)).value();
  const LaneId lane(0);
  const Batch batch = loader->take({&lane, 1}, 0).value();
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(batch.features[3 * i + 1], static_cast<uint8_t>(rows[i] * 7 + 1));
    EXPECT_EQ(batch.labels[i], static_cast<float>(rows[i] % 10));
  }
  EXPECT_FALSE(copy_rows(*dataset_, rows, path("copy"), false).ok()) << "one stands there";
}

}  // namespace
}  // namespace ballast
