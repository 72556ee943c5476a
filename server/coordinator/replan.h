// Re-planning by measured speed (async, ssp): which lane, if any, should go to another worker.
// Pure: the same numbers give the same answer.
#pragma once

#include <optional>
#include <vector>

#include "common/base/ids.h"

namespace ballast {

struct WorkerLoad {
  WorkerId worker;
  double samples_per_second = 0;  // while computing; 0: not measured yet
  std::vector<LaneId> lanes;
};

struct LaneLoad {
  double samples_left = 0;
  bool movable = false;  // confirmed, not moving, enough steps left for a move to pay
};

struct ProposedMove {
  LaneId lane;
  WorkerId to;
};

// The least gain that is worth a move: the two workers' later finish, as a share of what it was.
inline constexpr double kReplanGain = 0.10;

// Takes one lane from the worker that would finish last and gives it where it is done soonest, if
// the later finish of those two falls by more than kReplanGain. Undoing a move would need the same
// gain again, so lanes do not swing. A worker without a measured speed is taken for the mean of the
// others; nothing is proposed while nobody has one. `lanes` is indexed by lane.
[[nodiscard]] std::optional<ProposedMove> propose_move(const std::vector<WorkerLoad>& workers,
                                                       const std::vector<LaneLoad>& lanes);

}  // namespace ballast
