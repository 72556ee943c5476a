// Segments on the host: what Backend::segment_sum() is told. Segment s has the items
// [starts[s], starts[s + 1]), and item k adds scales[k] times row rows[k]; no scales: all 1. Pure;
// any thread.
#pragma once

#include <cstdint>
#include <span>

namespace ballast {

struct ConstSegments {
  std::span<const uint32_t> rows;
  std::span<const uint32_t> starts;  // one more than there are segments; from 0 to rows.size()
  std::span<const float> scales;     // as many as rows, or none
};
struct Segments {
  std::span<uint32_t> rows;
  std::span<uint32_t> starts;
  std::span<float> scales;
};

// The same items by row: segment r of `to` has those of `from` whose row is r, in the order in
// which they stand there, and the row of each is its segment in `from`. What makes a gradient's
// operands from those of the forward pass: segment_sum() with `to` is the transposed of that with
// `from`, and turned twice, items are in ascending order of rows within a segment.
// `to` has room for as many items and scales, and starts for one segment a row, which every row is
// below (checked). A counting sort: the time of items + rows, no memory beside it.
void turn_segments(const ConstSegments& from, const Segments& to);

}  // namespace ballast
