#include "server/coordinator/lane_plan.h"

#include <algorithm>
#include <map>

#include "common/base/check.h"
#include "server/coordinator/share_lanes.h"

namespace ballast {

LanePlan::LanePlan(const LaneSchedule& schedule, std::vector<ShardId> placement)
    : schedule_(schedule),
      lanes_(schedule.lanes()),
      fences_(schedule.lanes(), SavedLane().fence),
      round_(schedule.lanes(), std::move(placement)) {}

void LanePlan::restore(const std::vector<SavedLane>& lanes) {
  BALLAST_CHECK(lanes.size() == lanes_.size());
  for (size_t i = 0; i < lanes.size(); ++i) {
    lanes_[i] = Lane();
    static_cast<SavedLane&>(lanes_[i]) = lanes[i];
    fences_[i] = lanes[i].fence;
    // A lane on its way starts at the new owner at or above where the old one is.
    lanes_[i].clock = lanes[i].handover ? 0 : lanes[i].start;
  }
}

std::vector<SavedLane> LanePlan::save() const {
  return {lanes_.begin(), lanes_.end()};
}

void LanePlan::fence(LaneId lane) {
  Lane& it = at(lane);
  ++it.fence;
  ++fences_[lane.value()];
  it.owner.reset();
  it.handover.reset();
  it.confirmed = it.busy = it.finished = false;
  round_.forget(lane);
}

uint32_t LanePlan::fence_lanes_of(WorkerId worker) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    const bool moves =
        lane.handover && (lane.handover->from == worker || lane.handover->to == worker);
    if (lane.owner != worker && !moves) continue;
    fence(LaneId(i));
    ++count;
  }
  return count;
}

uint32_t LanePlan::fence_handovers() {
  uint32_t count = 0;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].handover) continue;
    fence(LaneId(i));
    ++count;
  }
  return count;
}

std::vector<LaneId> LanePlan::give(const std::vector<WorkerId>& members) {
  std::vector<LaneId> ready;
  for (LaneId lane : unowned()) {
    if (round_.least_mark(lane)) ready.push_back(lane);
  }
  if (members.empty() || ready.empty()) return {};
  std::vector<LaneHolder> holders;
  for (WorkerId worker : members) {
    holders.push_back({worker, static_cast<uint32_t>(lanes_of(worker).size())});
  }
  const std::vector<WorkerId> owners = share_lanes(ready, std::move(holders));
  for (size_t i = 0; i < ready.size(); ++i) {
    Lane& lane = at(ready[i]);
    const Clock start = *round_.least_mark(ready[i]);
    lane.owner = owners[i];
    lane.clock = std::max(lane.clock, start);
    lane.reached = round_.highest_mark(ready[i]);
    assign(lane, start);
    round_.forget(ready[i]);
  }
  return ready;
}

void LanePlan::assign(Lane& lane, Clock start) {
  ++lane.number;
  lane.start = start;
  lane.confirmed = lane.busy = lane.finished = false;
}

bool LanePlan::plan_move(LaneId lane, WorkerId to) {
  Lane& it = at(lane);
  if (!it.owner || !it.confirmed || it.handover || *it.owner == to) return false;
  if (it.clock >= schedule_.steps()) return false;
  // Two steps beyond the highest clock known, so that the order usually arrives before it. The
  // owner says where it really stops.
  it.handover = SavedHandover{*it.owner, to, it.clock + it.busy + 2, std::nullopt, it.number};
  return true;
}

std::optional<WorkerId> LanePlan::assignee(const Lane& lane) {
  return lane.handover && lane.handover->until ? lane.handover->to : lane.owner;
}

void LanePlan::assigned(WorkerId from, LaneId lane, uint64_t number) {
  if (lane.value() >= lanes_.size()) return;
  Lane& it = at(lane);
  if (assignee(it) == from && it.number == number) it.confirmed = true;
}

bool LanePlan::handing(WorkerId from, const wire::Handing& message) {
  if (message.lane.value() >= lanes_.size()) return false;
  Lane& lane = at(message.lane);
  if (!lane.handover || lane.handover->from != from || lane.handover->number != message.number ||
      lane.fence != message.fence || message.clock < lane.handover->clock) {
    return false;
  }
  bool changed = false;
  if (!lane.handover->until) {  // only now the new owner is told
    lane.handover->until = message.clock;
    assign(lane, message.clock);
    changed = true;
  }
  if (message.done) {
    lane.clock = std::max(lane.clock, *lane.handover->until);
    lane.owner = lane.handover->to;
    lane.handover.reset();
    changed = true;
  }
  return changed;
}

void LanePlan::progress(WorkerId from, const wire::LaneProgress& progress) {
  if (progress.lane.value() >= lanes_.size()) return;
  Lane& lane = at(progress.lane);
  if (lane.fence != progress.fence) return;
  if (lane.handover) {  // until it is over, the old owner says how far the lane is
    if (lane.handover->from == from && lane.handover->number == progress.number) {
      lane.clock = std::max(lane.clock, progress.clock);
      lane.busy = progress.busy;
    }
    return;
  }
  if (!current(from, progress)) return;
  lane.confirmed = true;
  lane.busy = progress.busy;
  lane.clock = std::max(lane.clock, progress.clock);
  lane.finished = lane.finished || (progress.clock == kNever && !progress.busy);
}

bool LanePlan::current(WorkerId from, const wire::LaneProgress& progress) const {
  if (progress.lane.value() >= lanes_.size()) return false;
  const Lane& lane = at(progress.lane);
  return lane.owner == from && lane.fence == progress.fence && lane.number == progress.number;
}

std::vector<LanePlan::Order> LanePlan::assignments(const std::vector<LaneId>& lanes) const {
  std::map<WorkerId, wire::Assign> of_worker;
  for (LaneId lane : lanes) {
    const Lane& it = at(lane);
    const std::optional<WorkerId> to = assignee(it);
    if (!to || it.confirmed) continue;
    of_worker[*to].lanes.push_back({lane, it.fence, it.number, it.start});
  }
  std::vector<Order> orders;
  for (auto& [to, message] : of_worker) orders.push_back({to, std::move(message)});
  return orders;
}

std::vector<LanePlan::Order> LanePlan::orders() const {
  std::vector<Order> orders = assignments(unconfirmed());
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].handover) continue;
    const SavedHandover& handover = *lanes_[i].handover;
    wire::Handover message;
    message.lane = LaneId(i);
    message.fence = lanes_[i].fence;
    message.number = handover.number;
    message.clock = handover.clock;
    orders.push_back({handover.from, message});
  }
  return orders;
}

bool LanePlan::moving() const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [](const Lane& lane) { return lane.handover.has_value(); });
}

std::vector<LaneId> LanePlan::unowned() const {
  std::vector<LaneId> lanes;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (!lanes_[i].owner) lanes.push_back(LaneId(i));
  }
  return lanes;
}

std::vector<LaneId> LanePlan::unconfirmed() const {
  std::vector<LaneId> lanes;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (assignee(lanes_[i]) && !lanes_[i].confirmed) lanes.push_back(LaneId(i));
  }
  return lanes;
}

std::vector<LaneId> LanePlan::lanes_of(WorkerId worker) const {
  std::vector<LaneId> lanes;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].owner == worker) lanes.push_back(LaneId(i));
  }
  return lanes;
}

Clock LanePlan::least_clock() const {
  Clock least = schedule_.steps();
  for (const Lane& lane : lanes_) least = std::min(least, lane.clock);
  return least;
}

Clock LanePlan::highest_clock() const {
  Clock highest = 0;
  for (const Lane& lane : lanes_) {
    highest = std::max(highest, std::min<Clock>(schedule_.steps(),
                                                lane.clock + (lane.clock != kNever && lane.busy)));
  }
  return highest;
}

bool LanePlan::all_finished() const {
  return std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.finished; });
}

}  // namespace ballast
