#include "worker/feed/portion.h"

#include <gtest/gtest.h>

#include "worker/feed/portion_rows.h"

namespace ballast {
namespace {

// 1003 rows over 3 lanes, 7 of each a step, 2 epochs.
const LaneSchedule kSchedule(1003, 3, 21, 2);

// Reads a lane's epochs portion by portion -> samples seen, checking that they follow each other.
void expect_each_sample_once(const LaneSchedule& schedule, const PortionPlan& plan, LaneId lane) {
  uint64_t number = 0;
  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    for (uint64_t first = 0; first < schedule.lane_rows(lane); ++number) {
      const auto run = plan.run_of({lane, number});
      ASSERT_TRUE(run.has_value());
      EXPECT_EQ(*run, (wire::RowRun{epoch, lane, first, run->rows}));
      for (uint64_t i = first; i < first + run->rows; ++i) {
        EXPECT_EQ(plan.holding(epoch, lane, i), (PortionId{lane, number}));
      }
      first += run->rows;
    }
  }
  EXPECT_FALSE(plan.run_of({lane, number}).has_value()) << "the job has two epochs";
}

TEST(PortionPlan, CutsEveryLaneIntoPortionsThatHoldEachSampleOnce) {
  for (const uint64_t row_bytes : {8ull, 10'000ull, 1ull << 20, 100ull << 20}) {
    SCOPED_TRACE(row_bytes);
    const PortionPlan plan(kSchedule, row_bytes);
    for (uint32_t lane = 0; lane < 3; ++lane) {
      expect_each_sample_once(kSchedule, plan, LaneId(lane));
    }
  }
}

TEST(PortionPlan, TakesWholeStepsUpToAboutAMebibyte) {
  EXPECT_EQ(PortionPlan(kSchedule, 10'000).rows(), 98u);  // 14 steps of 7
  EXPECT_EQ(PortionPlan(kSchedule, 1 << 20).rows(), 7u);  // a step's share, though it is larger
  EXPECT_EQ(PortionPlan(kSchedule, 8 << 20).rows(), 2u);  // 16 MiB at most
  EXPECT_EQ(PortionPlan(kSchedule, 100ull << 20).rows(), 1u);  // but a row
}

TEST(PortionPlan, EndsWithTheLastStepOfTheJob) {
  const LaneSchedule stopped(1003, 3, 21, 2, /*max_steps=*/3);
  const PortionPlan plan(stopped, 1 << 20);

  EXPECT_TRUE(plan.run_of({LaneId(0), 2}).has_value());
  EXPECT_FALSE(plan.run_of({LaneId(0), 3}).has_value());
}

TEST(PortionRows, AreRefusedWhenAByteIsNotWhatItWas) {
  const PortionShape shape{12, 1};
  wire::FeedAnswer answer;
  answer.run.rows = 5;
  lay_out(answer, shape, 5, Buffer::allocate(5 * shape.row_bytes()));
  answer.xxh3 = hash_of(answer);
  EXPECT_EQ(fault_of(answer, shape), "");

  answer.features.data()[7] ^= std::byte{1};
  EXPECT_NE(fault_of(answer, shape).find("xxh3"), std::string::npos);

  answer.features = answer.features.slice(0, 48);
  EXPECT_EQ(fault_of(answer, shape), "features: 60 bytes expected, 48 found");
}

}  // namespace
}  // namespace ballast
