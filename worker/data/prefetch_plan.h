// PrefetchPlan: which batches a worker will ask for next. Sync: every lane by itself, one after the
// other with all batches of a step; async and ssp: all its lanes that stand at the lowest batch
// together, in ascending order. Owner: whoever guards it; pure but for its own state.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/placement/lane_schedule.h"

namespace ballast {

struct BatchRequest {
  std::vector<LaneId> lanes;
  Clock batch = 0;
  bool operator==(const BatchRequest&) const = default;
};

class PrefetchPlan {
 public:
  // `schedule`: of the job's steps.
  PrefetchPlan(const LaneSchedule& schedule, bool lanes_together);

  // The lanes' next batch is `from`.
  void follow(std::span<const LaneId> lanes, Clock from);
  // This batch of the lanes was asked for. A lane that stands two and more steps behind it went to
  // another worker without a word: a worker does its lowest lanes first. The lanes that went.
  std::vector<LaneId> took(std::span<const LaneId> lanes, Clock batch);

  [[nodiscard]] bool follows(LaneId lane) const { return next_.contains(lane); }
  [[nodiscard]] size_t lane_count() const { return next_.size(); }
  // The next requests, soonest first: `rounds` of them, and where each lane is asked for by itself
  // as many for each lane; those of one lane's step come first.
  [[nodiscard]] std::vector<BatchRequest> upcoming(uint32_t rounds) const;

 private:
  [[nodiscard]] std::vector<BatchRequest> upcoming_together(uint32_t rounds) const;

  LaneSchedule schedule_;
  LaneSchedule batches_;
  bool lanes_together_;
  std::map<LaneId, Clock> next_;
};

}  // namespace ballast
