#include "common/placement/lane_schedule.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace ballast {
namespace {

TEST(LaneSchedule, EveryRowOfAnEpochIsDoneOnceForAnyShape) {
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    const uint32_t lanes = static_cast<uint32_t>(random.between(1, 16));
    const uint32_t batch = lanes * static_cast<uint32_t>(random.between(1, 9));
    const uint64_t rows = static_cast<uint64_t>(random.between(1, 500));
    const LaneSchedule schedule(rows, lanes, batch, 3);

    for (uint64_t epoch = 0; epoch < 3; ++epoch) {
      uint64_t samples = 0;
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        uint64_t position = 0;
        for (Clock t = epoch * schedule.steps_per_epoch();
             t < (epoch + 1) * schedule.steps_per_epoch(); ++t) {
          const uint32_t taken = schedule.rows_at(LaneId(lane), t);
          if (taken > 0) {
            EXPECT_EQ(schedule.first_position(t), position);
          }
          position += taken;
        }
        EXPECT_EQ(position, schedule.lane_rows(LaneId(lane)));
        samples += position;
      }
      EXPECT_EQ(samples, rows);
    }
  }
}

TEST(LaneSchedule, ALaneWithoutARowInTheShortStepIsAbsentThere) {
  const LaneSchedule schedule(/*rows=*/5, /*lanes=*/2, /*batch=*/4, /*epochs=*/2);  // 3 + 2 rows

  EXPECT_EQ(schedule.steps_per_epoch(), 2u);
  EXPECT_EQ(schedule.rows_at(LaneId(0), 1), 1u);
  EXPECT_FALSE(schedule.present(LaneId(1), 1));
  EXPECT_EQ(schedule.present_from(LaneId(1), 1), 2u);
  EXPECT_EQ(schedule.present_from(LaneId(1), 3), kNever);
  EXPECT_EQ(schedule.samples_at(1), 1u);
}

TEST(LaneSchedule, ALaneWithoutRowsNeverComes) {
  const LaneSchedule schedule(/*rows=*/1, /*lanes=*/2, /*batch=*/2, /*epochs=*/5);

  EXPECT_EQ(schedule.present_from(LaneId(1), 0), kNever);
  EXPECT_EQ(schedule.present_from(LaneId(0), 4), 4u);
}

TEST(LaneSchedule, MaxStepsEndsTheJobEarly) {
  const LaneSchedule schedule(100, 1, 10, 5, 7);

  EXPECT_EQ(schedule.steps(), 7u);
  EXPECT_EQ(schedule.present_from(LaneId(0), 7), kNever);
}

}  // namespace
}  // namespace ballast
