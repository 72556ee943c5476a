#include "server/coordinator/share_lanes.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {

std::vector<WorkerId> share_lanes(const std::vector<LaneId>& lanes,
                                  std::vector<LaneHolder> holders) {
  BALLAST_CHECK(!holders.empty());
  // First how many for each (one at a time to whoever has fewest), then which: runs in order.
  std::vector<size_t> share(holders.size(), 0);
  for (size_t i = 0; i < lanes.size(); ++i) {
    const auto fewest = std::min_element(
        holders.begin(), holders.end(),
        [](const LaneHolder& a, const LaneHolder& b) { return a.lanes < b.lanes; });
    ++fewest->lanes;
    ++share[static_cast<size_t>(fewest - holders.begin())];
  }
  std::vector<WorkerId> owners;
  for (size_t i = 0; i < holders.size(); ++i)
    owners.insert(owners.end(), share[i], holders[i].worker);
  return owners;
}

}  // namespace ballast
