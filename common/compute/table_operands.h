// The shapes that operations on tables and their rows ask for (backend.h); the same on every
// device. Pure.
#pragma once

#include "common/base/check.h"
#include "common/compute/backend.h"

namespace ballast {

inline void check_segment_sum(ConstMatrix x, ConstIndices rows, ConstIndices starts,
                              ConstMatrix scales, ConstMatrix y) {
  BALLAST_CHECK(x.columns == y.columns && starts.count == size_t{y.rows} + 1);
  BALLAST_CHECK(scales.empty() || scales.size() == rows.count);
  BALLAST_CHECK(rows.count <= kSegmentItemsMax);
}

[[nodiscard]] inline size_t pairs_of(uint32_t vectors) {
  return size_t{vectors} * (vectors - 1) / 2;
}

// Where the pair of two different vectors is among them.
[[nodiscard]] constexpr size_t pair_at(size_t i, size_t j) {
  return i > j ? i * (i - 1) / 2 + j : j * (j - 1) / 2 + i;
}

// pairs: y or its gradient.
inline void check_dot_interaction(ConstMatrix x, uint32_t vectors, ConstMatrix pairs) {
  BALLAST_CHECK(vectors > 0 && x.columns % vectors == 0);
  BALLAST_CHECK(pairs.rows == x.rows && pairs.columns == pairs_of(vectors));
}

}  // namespace ballast
