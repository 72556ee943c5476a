#include "worker/data/prefetch_plan.h"

#include <algorithm>

namespace ballast {

PrefetchPlan::PrefetchPlan(const LaneSchedule& schedule, bool lanes_together)
    : schedule_(schedule), batches_(schedule.of_batches()), lanes_together_(lanes_together) {}

void PrefetchPlan::follow(std::span<const LaneId> lanes, Clock from) {
  for (LaneId lane : lanes) next_[lane] = from;
}

std::vector<LaneId> PrefetchPlan::took(std::span<const LaneId> lanes, Clock batch) {
  follow(lanes, batch + 1);
  const Clock step = schedule_.step_of(batch);
  std::vector<LaneId> gone;
  for (const auto& [lane, next] : next_) {
    if (schedule_.step_of(next) + 2 <= step) gone.push_back(lane);
  }
  for (LaneId lane : gone) next_.erase(lane);
  return gone;
}

std::vector<BatchRequest> PrefetchPlan::upcoming(uint32_t rounds) const {
  if (lanes_together_) return upcoming_together(rounds);
  std::map<LaneId, Clock> next = next_;
  std::vector<BatchRequest> requests;
  const size_t most = rounds * next.size();
  for (uint32_t round = 0; round < rounds; ++round) {
    Clock step = kNever;
    for (auto& [lane, batch] : next) {
      batch = batches_.present_from(lane, batch);
      if (batch != kNever) step = std::min(step, schedule_.step_of(batch));
    }
    if (step == kNever) break;
    for (auto& [lane, batch] : next) {
      while (batch != kNever && schedule_.step_of(batch) == step) {
        if (requests.size() == most) return requests;
        requests.push_back({{lane}, batch});
        batch = batches_.present_from(lane, batch + 1);
      }
    }
  }
  return requests;
}

std::vector<BatchRequest> PrefetchPlan::upcoming_together(uint32_t rounds) const {
  std::map<LaneId, Clock> next = next_;
  std::vector<BatchRequest> requests;
  for (uint32_t round = 0; round < rounds; ++round) {
    Clock lowest = kNever;
    for (auto& [lane, batch] : next) {
      batch = batches_.present_from(lane, batch);
      lowest = std::min(lowest, batch);
    }
    if (lowest == kNever) break;
    BatchRequest together{{}, lowest};
    for (auto& [lane, batch] : next) {
      if (batch != lowest) continue;
      ++batch;
      together.lanes.push_back(lane);
    }
    requests.push_back(std::move(together));
  }
  return requests;
}

}  // namespace ballast
