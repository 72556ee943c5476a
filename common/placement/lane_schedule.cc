#include "common/placement/lane_schedule.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {

LaneSchedule::LaneSchedule(uint64_t rows, uint32_t lanes, uint32_t batch, uint32_t epochs,
                           uint64_t max_steps, Tail tail)
    : rows_(rows), lanes_(lanes), tail_(tail) {
  BALLAST_CHECK(rows > 0 && lanes > 0 && batch > 0 && epochs > 0);
  BALLAST_CHECK(batch % lanes == 0);
  lane_batch_ = batch / lanes;
  const uint64_t longest_lane = (rows + lanes - 1) / lanes;
  steps_per_epoch_ = (longest_lane + lane_batch_ - 1) / lane_batch_;
  if (tail == Tail::kDrop) {
    BALLAST_CHECK(rows >= batch);
    steps_per_epoch_ = rows / lanes / lane_batch_;
  }
  steps_ = steps_per_epoch_ * epochs;
  if (max_steps > 0) steps_ = std::min(steps_, max_steps);
}

uint64_t LaneSchedule::lane_rows(LaneId lane) const {
  BALLAST_CHECK(lane.value() < lanes_);
  return rows_ / lanes_ + (lane.value() < rows_ % lanes_ ? 1 : 0);
}

uint32_t LaneSchedule::rows_at(LaneId lane, Clock clock) const {
  if (tail_ == Tail::kPad && clock < steps_ && lane_rows(lane) > 0) return lane_batch_;
  return samples_of(lane, clock);
}

uint32_t LaneSchedule::samples_of(LaneId lane, Clock clock) const {
  if (clock >= steps_) return 0;
  const uint64_t all = lane_rows(lane);
  const uint64_t done = std::min(first_position(clock), all);
  return static_cast<uint32_t>(std::min<uint64_t>(lane_batch_, all - done));
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
  return {job.resolved.samples(), train.lanes,     train.batch,
          train.epochs,           train.max_steps, job.data.tail};
}

}  // namespace ballast
