// FenceRound: the marks that shards report for lanes without an owner. A lane may be given away
// only when every unit of the job (not only every shard) has been reported under its current fence.
// Pure.
#pragma once

#include <optional>
#include <vector>

#include "common/wire/control_messages.h"

namespace ballast {

class FenceRound {
 public:
  // placement: the shard of each unit.
  FenceRound(uint32_t lane_count, std::vector<ShardId> placement);

  // The lane's fence was raised: what was reported under the old one says nothing.
  void forget(LaneId lane);
  // The shard has lost or reloaded its units.
  void forget(ShardId shard);
  // Takes the marks of those lanes whose fence is the current one. False: the answer makes no sense
  // (sizes, a unit of another shard or epoch) and was not taken.
  bool report(const wire::FenceMarks& answer, const std::vector<Fence>& fences);

  // The least mark over all units, once all have been reported.
  [[nodiscard]] std::optional<Clock> least_mark(LaneId lane) const;
  // The highest mark reported so far.
  [[nodiscard]] Clock highest_mark(LaneId lane) const;
  // Shards with units not yet reported for the lane, in ascending order.
  [[nodiscard]] std::vector<ShardId> awaited(LaneId lane) const;

 private:
  [[nodiscard]] bool fits(const wire::FenceMarks& answer) const;

  uint32_t lane_count_;
  std::vector<ShardId> placement_;
  std::vector<std::vector<std::optional<Clock>>> marks_;  // [lane][unit]
};

}  // namespace ballast
