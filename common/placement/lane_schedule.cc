#include "common/placement/lane_schedule.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {

LaneSchedule::LaneSchedule(uint64_t rows, uint32_t lanes, uint32_t batch, uint32_t epochs,
                           uint64_t max_steps, Tail tail, uint32_t local_steps)
    : rows_(rows), lanes_(lanes), tail_(tail) {
  BALLAST_CHECK(rows > 0 && lanes > 0 && batch > 0 && epochs > 0 && local_steps > 0);
  BALLAST_CHECK(batch % lanes == 0);
  lane_batch_ = batch / lanes;
  const uint64_t longest_lane = (rows + lanes - 1) / lanes;
  batches_per_epoch_ = (longest_lane + lane_batch_ - 1) / lane_batch_;
  if (tail == Tail::kDrop) {
    BALLAST_CHECK(rows >= batch);
    batches_per_epoch_ = rows / lanes / lane_batch_;
  }
  lane_step_ = uint64_t{lane_batch_} * local_steps;
  steps_per_epoch_ = (batches_per_epoch_ + local_steps - 1) / local_steps;
  steps_ = steps_per_epoch_ * epochs;
  if (max_steps > 0) steps_ = std::min(steps_, max_steps);
}

LaneSchedule LaneSchedule::of_batches() const {
  LaneSchedule batches = *this;
  batches.lane_step_ = lane_batch_;
  batches.steps_per_epoch_ = batches_per_epoch_;
  batches.steps_ = first_batch(steps_);
  return batches;
}

Clock LaneSchedule::first_batch(Clock clock) const {
  return epoch_of(clock) * batches_per_epoch_ + first_position(clock) / lane_batch_;
}

Clock LaneSchedule::step_of(Clock batch) const {
  const uint64_t local_steps = lane_step_ / lane_batch_;
  return batch / batches_per_epoch_ * steps_per_epoch_ + batch % batches_per_epoch_ / local_steps;
}

uint64_t LaneSchedule::lane_rows(LaneId lane) const {
  BALLAST_CHECK(lane.value() < lanes_);
  return rows_ / lanes_ + (lane.value() < rows_ % lanes_ ? 1 : 0);
}

uint64_t LaneSchedule::rows_at(LaneId lane, Clock clock) const {
  if (tail_ == Tail::kPad && clock < steps_ && lane_rows(lane) > 0) return taken(clock);
  return samples_of(lane, clock);
}

uint64_t LaneSchedule::samples_of(LaneId lane, Clock clock) const {
  if (clock >= steps_) return 0;
  const uint64_t all = lane_rows(lane);
  const uint64_t done = std::min(first_position(clock), all);
  return std::min(taken(clock), all - done);
}

Clock LaneSchedule::present_from(LaneId lane, Clock clock) const {
  // A lane is absent at most in the last step of an epoch, so one look ahead is enough, unless it
  // has no rows at all.
  for (Clock next = clock; next < steps_ && next <= clock + 1; ++next) {
    if (present(lane, next)) return next;
  }
  return kNever;
}

uint64_t LaneSchedule::samples_at(Clock clock) const {
  uint64_t samples = 0;
  for (uint32_t lane = 0; lane < lanes_; ++lane) samples += samples_of(LaneId(lane), clock);
  return samples;
}

LaneSchedule schedule_of(const JobConfig& job) {
  const TrainConfig& train = job.train;
  return {job.resolved.samples(), train.lanes,   train.batch,      train.epochs,
          train.max_steps,        job.data.tail, train.local_steps};
}

}  // namespace ballast
