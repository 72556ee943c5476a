#include "worker/data/prefetch_plan.h"

#include <algorithm>

namespace ballast {

PrefetchPlan::PrefetchPlan(const LaneSchedule& schedule, bool lanes_together)
    : schedule_(schedule), lanes_together_(lanes_together) {}

void PrefetchPlan::follow(std::span<const LaneId> lanes, Clock from) {
  for (LaneId lane : lanes) next_[lane] = from;
}

std::vector<LaneId> PrefetchPlan::took(std::span<const LaneId> lanes, Clock clock) {
  follow(lanes, clock + 1);
  std::vector<LaneId> gone;
  for (const auto& [lane, next] : next_) {
    if (next + 2 <= clock) gone.push_back(lane);
  }
  for (LaneId lane : gone) next_.erase(lane);
  return gone;
}

std::vector<BatchRequest> PrefetchPlan::upcoming(uint32_t steps) const {
  std::map<LaneId, Clock> next = next_;
  std::vector<BatchRequest> requests;
  for (uint32_t step = 0; step < steps; ++step) {
    Clock lowest = kNever;
    for (auto& [lane, clock] : next) {
      clock = schedule_.present_from(lane, clock);
      lowest = std::min(lowest, clock);
    }
    if (lowest == kNever) break;
    BatchRequest together{{}, lowest};
    for (auto& [lane, clock] : next) {
      if (clock != lowest) continue;
      ++clock;
      together.lanes.push_back(lane);
      if (!lanes_together_) requests.push_back({{lane}, lowest});
    }
    if (lanes_together_) requests.push_back(std::move(together));
  }
  return requests;
}

}  // namespace ballast
