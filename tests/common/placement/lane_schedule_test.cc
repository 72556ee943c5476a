#include "common/placement/lane_schedule.h"

#include <gtest/gtest.h>

#include <array>

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

// Every batch is in one step, in order; a lane has in a step what it has in the step's batches; and
// steps of many batches take the same rows as steps of one.
TEST(LaneSchedule, StepsOfManyBatchesTakeTheRowsOfTheirBatches) {
  Random random(13);
  for (int round = 0; round < 300; ++round) {
    const uint32_t lanes = static_cast<uint32_t>(random.between(1, 8));
    const uint32_t batch = lanes * static_cast<uint32_t>(random.between(1, 9));
    const uint64_t rows = static_cast<uint64_t>(random.between(batch, 500));
    const uint32_t local_steps = static_cast<uint32_t>(random.between(1, 7));
    const Tail tail = std::array{Tail::kShort, Tail::kPad, Tail::kDrop}.at(random.below(3));
    const uint64_t max_steps = random.below(5);
    const LaneSchedule schedule(rows, lanes, batch, 3, max_steps, tail, local_steps);
    const LaneSchedule batches = schedule.of_batches();
    const LaneSchedule plain(rows, lanes, batch, 3, 0, tail);

    EXPECT_EQ(batches.steps_per_epoch(), plain.steps_per_epoch());
    Clock next = 0;
    for (Clock t = 0; t < schedule.steps(); ++t) {
      ASSERT_EQ(schedule.first_batch(t), next);
      ASSERT_GE(schedule.batches_at(t), 1u);
      ASSERT_LE(schedule.batches_at(t), local_steps);
      ASSERT_EQ(schedule.epoch_of(t), batches.epoch_of(next)) << "a step ends with its epoch";
      ASSERT_EQ(schedule.first_position(t), batches.first_position(next));
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        uint64_t taken = 0, samples = 0;
        for (Clock b = next; b < next + schedule.batches_at(t); ++b) {
          ASSERT_EQ(schedule.step_of(b), t);
          ASSERT_EQ(batches.rows_at(LaneId(lane), b), plain.rows_at(LaneId(lane), b));
          taken += batches.rows_at(LaneId(lane), b);
          samples += batches.samples_of(LaneId(lane), b);
        }
        ASSERT_EQ(schedule.rows_at(LaneId(lane), t), taken);
        ASSERT_EQ(schedule.samples_of(LaneId(lane), t), samples);
      }
      next += schedule.batches_at(t);
    }
    EXPECT_EQ(batches.steps(), next);
    if (max_steps == 0) {
      EXPECT_EQ(next, plain.steps());
    }
  }
}

// short, pad: each row of the epoch is a sample once; pad, drop: every lane has whole steps; drop:
// what is left out is less than a step of a lane, and one row.
TEST(LaneSchedule, TailsKeepEachRowAtMostOnceAndStepsWhole) {
  Random random(12);
  for (int round = 0; round < 300; ++round) {
    const uint32_t lanes = static_cast<uint32_t>(random.between(1, 16));
    const uint32_t lane_batch = static_cast<uint32_t>(random.between(1, 9));
    const uint64_t rows = static_cast<uint64_t>(random.between(lanes * lane_batch, 500));
    const LaneSchedule padded(rows, lanes, lanes * lane_batch, 2, 0, Tail::kPad);
    const LaneSchedule dropped(rows, lanes, lanes * lane_batch, 2, 0, Tail::kDrop);

    uint64_t samples = 0;
    for (Clock t = 0; t < padded.steps_per_epoch(); ++t) {
      samples += padded.samples_at(t);
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        EXPECT_EQ(padded.rows_at(LaneId(lane), t), lane_batch);
        EXPECT_LE(padded.samples_of(LaneId(lane), t), lane_batch);
        EXPECT_EQ(padded.present_from(LaneId(lane), t), t);
      }
    }
    EXPECT_EQ(samples, rows);
    for (Clock t = 0; t < dropped.steps(); ++t) {
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        EXPECT_EQ(dropped.rows_at(LaneId(lane), t), lane_batch);
        EXPECT_EQ(dropped.samples_of(LaneId(lane), t), lane_batch);
      }
    }
    const uint64_t kept = dropped.steps_per_epoch() * lane_batch;
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      EXPECT_LE(dropped.lane_rows(LaneId(lane)) - kept, lane_batch);
    }
    EXPECT_EQ(padded.present_from(LaneId(0), padded.steps()), kNever);
  }
}

TEST(LaneSchedule, ALaneWithoutRowsHasNothingToPadWith) {
  const LaneSchedule schedule(/*rows=*/1, /*lanes=*/2, /*batch=*/4, /*epochs=*/1, 0, Tail::kPad);

  EXPECT_EQ(schedule.rows_at(LaneId(0), 0), 2u);
  EXPECT_EQ(schedule.samples_of(LaneId(0), 0), 1u);
  EXPECT_FALSE(schedule.present(LaneId(1), 0));
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
