#include "server/coordinator/stop_round.h"

#include <algorithm>

namespace ballast {

StopRound::StopRound(Mode mode, const LaneSchedule& schedule)
    : mode_(mode), steps_(schedule.steps()), stands_(schedule.lanes()) {}

void StopRound::report(const LanePlan& plan, WorkerId from, const wire::LaneProgress& progress,
                       bool paused) {
  if (!plan.current(from, progress)) return;
  Stand& stand = stands_[progress.lane.value()];
  const bool same = stand.fence == progress.fence && stand.number == progress.number;
  if (same && progress.clock < stand.clock) return;  // overtaken on the way
  stand = {progress.fence, progress.number, progress.clock, progress.busy,
           paused || (same && stand.paused)};
}

const StopRound::Stand* StopRound::stand(const LanePlan& plan, LaneId lane) const {
  const Stand& it = stands_[lane.value()];
  const bool current =
      plan.owner(lane) && it.number == plan.number(lane) && it.fence == plan.fences()[lane.value()];
  return current ? &it : nullptr;
}

std::vector<LaneId> StopRound::moving(const LanePlan& plan) const {
  std::vector<LaneId> lanes;
  for (uint32_t i = 0; i < stands_.size(); ++i) {
    const Stand* it = stand(plan, LaneId(i));
    if (it == nullptr || !it->paused) lanes.push_back(LaneId(i));
  }
  return lanes;
}

std::optional<Clock> StopRound::settle(const LanePlan& plan) {
  if (stop_clock_ || !moving(plan).empty()) return stop_clock_;
  stop_clock_ = 0;
  if (mode_ != Mode::kSync) return stop_clock_;
  for (uint32_t i = 0; i < stands_.size(); ++i) {
    const Stand& it = stands_[i];
    // A step that owners who died had pushed to one unit, but not to all, may be closed there: then
    // the marks that the lane was given away with say so.
    const Clock begun = it.clock == kNever ? steps_ : it.clock + it.busy;
    const Clock reaches = std::max(begun, plan.reached(LaneId(i)));
    stop_clock_ = std::max(*stop_clock_, std::min(reaches, steps_));
  }
  return stop_clock_;
}

std::vector<LaneId> StopRound::below(const LanePlan& plan) const {
  std::vector<LaneId> lanes;
  if (mode_ != Mode::kSync || !stop_clock_) return lanes;
  for (uint32_t i = 0; i < stands_.size(); ++i) {
    const Stand* it = stand(plan, LaneId(i));
    if (it == nullptr || it->clock < *stop_clock_) lanes.push_back(LaneId(i));
  }
  return lanes;
}

}  // namespace ballast
