#include "common/compute/segments.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {
namespace {

// starts[r + 1] = how many items have a row below r.
void count_below(std::span<const uint32_t> rows, std::span<uint32_t> starts) {
  std::ranges::fill(starts, 0u);
  for (uint32_t row : rows) {
    BALLAST_CHECK(row < starts.size() - 1);
    if (row + 2 < starts.size()) ++starts[row + 2];
  }
  for (size_t r = 1; r < starts.size(); ++r) starts[r] += starts[r - 1];
}

}  // namespace

void turn_segments(const ConstSegments& from, const Segments& to) {
  BALLAST_CHECK(!from.starts.empty() && !to.starts.empty());
  BALLAST_CHECK(from.starts.front() == 0 && from.starts.back() == from.rows.size());
  BALLAST_CHECK(to.rows.size() == from.rows.size() && to.scales.size() == from.scales.size());
  BALLAST_CHECK(from.scales.empty() || from.scales.size() == from.rows.size());
  count_below(from.rows, to.starts);
  for (size_t s = 0; s + 1 < from.starts.size(); ++s) {
    BALLAST_CHECK(from.starts[s] <= from.starts[s + 1] && from.starts[s + 1] <= from.rows.size());
    for (uint32_t k = from.starts[s]; k < from.starts[s + 1]; ++k) {
      // The place of the row's next item; behind the last one, the start of the next row.
      const uint32_t at = to.starts[from.rows[k] + 1]++;
      to.rows[at] = static_cast<uint32_t>(s);
      if (!from.scales.empty()) to.scales[at] = from.scales[k];
    }
  }
}

}  // namespace ballast
