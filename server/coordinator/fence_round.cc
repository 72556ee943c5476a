#include "server/coordinator/fence_round.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {

FenceRound::FenceRound(uint32_t lane_count, std::vector<ShardId> placement)
    : lane_count_(lane_count),
      placement_(std::move(placement)),
      marks_(lane_count, std::vector<std::optional<Clock>>(placement_.size())) {}

void FenceRound::forget(LaneId lane) {
  std::fill(marks_[lane.value()].begin(), marks_[lane.value()].end(), std::nullopt);
}

void FenceRound::forget(ShardId shard) {
  for (auto& units : marks_) {
    for (size_t unit = 0; unit < units.size(); ++unit) {
      if (placement_[unit] == shard) units[unit].reset();
    }
  }
}

bool FenceRound::fits(const wire::FenceMarks& answer) const {
  if (answer.fences.size() != lane_count_ || answer.term != 0) return false;
  return std::all_of(answer.units.begin(), answer.units.end(), [&](const wire::UnitMarks& unit) {
    return unit.unit.value() < placement_.size() && unit.epoch == 0 &&
           placement_[unit.unit.value()] == answer.shard && unit.marks.size() == lane_count_;
  });
}

bool FenceRound::report(const wire::FenceMarks& answer, const std::vector<Fence>& fences) {
  BALLAST_CHECK(fences.size() == lane_count_);
  if (!fits(answer)) return false;
  for (uint32_t lane = 0; lane < lane_count_; ++lane) {
    if (answer.fences[lane] != fences[lane]) continue;
    for (const wire::UnitMarks& unit : answer.units) {
      // Marks never fall under one fence, so of two answers that overtook each other the higher is
      // the later one.
      std::optional<Clock>& mark = marks_[lane][unit.unit.value()];
      mark = std::max(mark.value_or(0), unit.marks[lane]);
    }
  }
  return true;
}

std::optional<Clock> FenceRound::least_mark(LaneId lane) const {
  Clock least = kNever;
  for (const std::optional<Clock>& mark : marks_[lane.value()]) {
    if (!mark) return std::nullopt;
    least = std::min(least, *mark);
  }
  return least;
}

Clock FenceRound::highest_mark(LaneId lane) const {
  Clock highest = 0;
  for (const std::optional<Clock>& mark : marks_[lane.value()]) {
    highest = std::max(highest, mark.value_or(0));
  }
  return highest;
}

std::vector<ShardId> FenceRound::awaited(LaneId lane) const {
  std::vector<ShardId> shards;
  for (size_t unit = 0; unit < placement_.size(); ++unit) {
    if (!marks_[lane.value()][unit]) shards.push_back(placement_[unit]);
  }
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

}  // namespace ballast
