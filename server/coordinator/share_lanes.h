// How lanes are dealt to workers: as equal as possible, in runs of neighbours, so that a worker can
// send whole nodes of the sum's tree. Pure.
#pragma once

#include <vector>

#include "common/base/ids.h"

namespace ballast {

struct LaneHolder {
  WorkerId worker;
  uint32_t lanes = 0;  // it has already
};

// The new owner of each of `lanes` (ascending). `holders` ascending, not empty. Whoever has fewest
// gets the next one, ties to the lower number.
[[nodiscard]] std::vector<WorkerId> share_lanes(const std::vector<LaneId>& lanes,
                                                std::vector<LaneHolder> holders);

}  // namespace ballast
