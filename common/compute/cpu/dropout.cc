// The mask: 32 random bits an element, kept when they are >= rate * 2^32. They are the low half
// (even columns) and the high half (odd columns) of mix64(row_key ^ (column / 2)), with
// row_key = hash_numbers({seed, clock, lane, layer, row}): two elements a hash, no state.
#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"

namespace ballast::cpu {
namespace {

uint32_t drop_below(double rate) {
  BALLAST_CHECK(rate >= 0 && rate < 1);
  return static_cast<uint32_t>(std::min(std::round(rate * 0x1.0p32), 0x1.0p32 - 1));
}

void dropout_row(const float* x, uint64_t row_key, uint32_t threshold, float scale, float* y,
                 uint32_t columns) {
  const uint32_t pairs = columns / 2;
  BALLAST_INDEPENDENT_ITERATIONS
  for (uint32_t p = 0; p < pairs; ++p) {
    const uint64_t bits = mix64(row_key ^ p);
    const float even = x[2 * p] * scale;
    const float odd = x[2 * p + 1] * scale;
    y[2 * p] = static_cast<uint32_t>(bits) >= threshold ? even : 0.0f;
    y[2 * p + 1] = static_cast<uint32_t>(bits >> 32) >= threshold ? odd : 0.0f;
  }
  if (columns % 2 == 1) {
    const bool keep = static_cast<uint32_t>(mix64(row_key ^ pairs)) >= threshold;
    y[columns - 1] = keep ? x[columns - 1] * scale : 0.0f;
  }
}

}  // namespace

void dropout(ConstMatrix x, double rate, const DropoutKey& key, Matrix y) {
  BALLAST_CHECK(x.rows == y.rows && x.columns == y.columns);
  const uint32_t threshold = drop_below(rate);
  const auto scale = static_cast<float>(1 / (1 - rate));
  for (uint32_t r = 0; r < x.rows; ++r) {
    const uint64_t row_key = hash_numbers({key.seed, key.clock, key.lane, key.layer, r});
    const size_t start = size_t{r} * x.columns;
    dropout_row(x.device_data + start, row_key, threshold, scale, y.device_data + start, x.columns);
  }
}

}  // namespace ballast::cpu
