// LaneSchedule: which rows each lane does at each clock, by arithmetic alone, so that shards,
// workers and the coordinator agree without a message. Pure values; any thread.
//
// Rows 0 .. rows-1 of an epoch are dealt to lanes in turn, so lane lengths differ by at most one. A
// step takes batch / lanes consecutive positions of each lane. What the last step of an epoch does
// when they do not come out even is the tail: short: it has fewer rows, and a lane that has no row
// left in it is absent; pad: each lane has as many rows as always, those behind its last one repeat
// that one and weigh 0; drop: there is no such step, the last rows of each lane are left out of
// this epoch. Clocks count steps over all epochs.
//
// With local_steps = k a step is k batches of each lane, one after the other; the last step of an
// epoch may have fewer. Batches are numbered like steps, over all epochs: of_batches() is the
// schedule whose steps they are.
#pragma once

#include <cstdint>

#include "common/base/ids.h"
#include "common/config/job_config.h"

namespace ballast {

class LaneSchedule {
 public:
  // batch must be a multiple of lanes, all numbers > 0; tail drop: rows >= batch. `max_steps` 0:
  // all epochs.
  LaneSchedule(uint64_t rows, uint32_t lanes, uint32_t batch, uint32_t epochs,
               uint64_t max_steps = 0, Tail tail = Tail::kShort, uint32_t local_steps = 1);

  // The batches as steps of their own; of as many as the steps have.
  [[nodiscard]] LaneSchedule of_batches() const;
  [[nodiscard]] Clock first_batch(Clock clock) const;
  [[nodiscard]] uint64_t batches_at(Clock clock) const {
    return first_batch(clock + 1) - first_batch(clock);
  }
  // Mean over an epoch, whose last step may have fewer than local_steps.
  [[nodiscard]] double batches_per_step() const {
    return static_cast<double>(batches_per_epoch_) / static_cast<double>(steps_per_epoch_);
  }
  // The step that has the batch.
  [[nodiscard]] Clock step_of(Clock batch) const;

  [[nodiscard]] uint32_t lanes() const { return lanes_; }
  [[nodiscard]] uint32_t batch() const { return lanes_ * lane_batch_; }
  [[nodiscard]] uint32_t lane_batch() const { return lane_batch_; }
  [[nodiscard]] uint64_t lane_step() const { return lane_step_; }  // rows of a lane's whole step
  [[nodiscard]] uint64_t rows() const { return rows_; }
  [[nodiscard]] uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  [[nodiscard]] uint64_t steps() const { return steps_; }  // of the whole job

  // Rows the lane has in every epoch, those that a tail drops too.
  [[nodiscard]] uint64_t lane_rows(LaneId lane) const;
  // Rows of the lane in the step, padding too; 0: absent, or the job is over.
  [[nodiscard]] uint64_t rows_at(LaneId lane, Clock clock) const;
  // Of these, the first ones, which are samples: all but padding.
  [[nodiscard]] uint64_t samples_of(LaneId lane, Clock clock) const;
  [[nodiscard]] bool present(LaneId lane, Clock clock) const { return rows_at(lane, clock) > 0; }
  // The first clock >= `clock` at which the lane has rows; kNever when there is none.
  [[nodiscard]] Clock present_from(LaneId lane, Clock clock) const;
  // Samples of all lanes in the step, without padding.
  [[nodiscard]] uint64_t samples_at(Clock clock) const;

  [[nodiscard]] uint64_t epoch_of(Clock clock) const { return clock / steps_per_epoch_; }
  // Position, within the lane and its epoch, of the step's first row.
  [[nodiscard]] uint64_t first_position(Clock clock) const {
    return clock % steps_per_epoch_ * lane_step_;
  }

 private:
  // Positions of a lane in the step's batches.
  [[nodiscard]] uint64_t taken(Clock clock) const { return batches_at(clock) * lane_batch_; }

  uint64_t rows_;
  uint32_t lanes_;
  uint32_t lane_batch_;
  uint64_t lane_step_;  // local_steps batches of a lane
  uint64_t batches_per_epoch_;
  uint64_t steps_per_epoch_;
  uint64_t steps_;
  Tail tail_;
};

// `job` is resolved (train_rows > 0). Of the samples an epoch takes, whichever rows they are.
[[nodiscard]] LaneSchedule schedule_of(const JobConfig& job);

}  // namespace ballast
