#include "common/optimizer/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/placement/lane_schedule.h"

namespace ballast {
namespace {

TEST(Schedule, ConstantIsOne) {
  EXPECT_EQ(schedule_factor({}, 0, 100), 1);
  EXPECT_EQ(schedule_factor({}, 1e9, 100), 1);
}

TEST(Schedule, WarmsUpLinearlyAndThenStartsTheKind) {
  const ScheduleConfig schedule{
      .kind = ScheduleKind::kStep, .warmup_steps = 4, .every_steps = 10, .factor = 0.5};
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 0, 0), 0.25);
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 1, 0), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 2.5, 0), 0.875);
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 3, 0), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 13.9, 0), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 14, 0), 0.5);
}

TEST(Schedule, StepMultipliesEverySoManySteps) {
  const ScheduleConfig schedule{.kind = ScheduleKind::kStep, .every_steps = 3, .factor = 0.1};
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 2.99, 0), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 3, 0), 0.1);
  EXPECT_NEAR(schedule_factor(schedule, 8, 0), 0.01, 1e-15);
}

TEST(Schedule, CosineFallsFromOneToTheFloorAndStays) {
  const ScheduleConfig schedule{.kind = ScheduleKind::kCosine, .decay_steps = 10, .floor = 0.2};
  EXPECT_DOUBLE_EQ(schedule_factor(schedule, 0, 0), 1);
  EXPECT_NEAR(schedule_factor(schedule, 5, 0), 0.6, 1e-12);
  EXPECT_NEAR(schedule_factor(schedule, 10, 0), 0.2, 1e-12);
  EXPECT_NEAR(schedule_factor(schedule, 1000, 0), 0.2, 1e-12);
}

TEST(Schedule, CosineOfZeroStepsTakesTheWholeJobLessTheWarmUp) {
  const ScheduleConfig schedule{.kind = ScheduleKind::kCosine, .warmup_steps = 10};
  EXPECT_NEAR(schedule_factor(schedule, 60, 110), 0.5, 1e-12);
  EXPECT_NEAR(schedule_factor(schedule, 110, 110), 0, 1e-12);
}

TEST(Schedule, RateFollowsSamplesNotWhoAppliedThem) {
  TrainConfig train;
  train.batch = 100;
  train.optimizer.learning_rate = 0.5;
  train.schedule = {.kind = ScheduleKind::kStep, .every_steps = 2, .factor = 0.1};
  EXPECT_DOUBLE_EQ(learning_rate_at(train, 199, 1, 0), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(train, 200, 1, 0), 0.05);
}

// 10 batches of 100 samples an epoch in steps of 4, 4 and 2: the last of 12 steps is the twelfth.
TEST(Schedule, DecaysToTheEndOfAJobWhoseStepsHaveSeveralBatches) {
  TrainConfig train;
  train.batch = 100;
  train.optimizer.learning_rate = 1;
  train.schedule = {.kind = ScheduleKind::kCosine};
  const LaneSchedule schedule(1000, 1, 100, 4, 0, Tail::kShort, 4);
  ASSERT_EQ(schedule.steps(), 12u);
  const double per_step = schedule.batches_per_step();

  EXPECT_NEAR(learning_rate_at(train, 4000, per_step, 12), 0, 1e-12);
  EXPECT_NEAR(learning_rate_at(train, 2000, per_step, 12), 0.5, 1e-12);
}

}  // namespace
}  // namespace ballast
