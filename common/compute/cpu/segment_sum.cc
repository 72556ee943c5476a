#include <algorithm>

#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"
#include "common/compute/table_operands.h"

namespace ballast::cpu {
namespace {

void add_scaled(const float* x, float scale, float* sum, uint32_t columns) {
  BALLAST_INDEPENDENT_ITERATIONS
  for (uint32_t c = 0; c < columns; ++c) sum[c] += scale * x[c];
}

}  // namespace

// A segment's items are added first to last.
void segment_sum(ConstMatrix x, ConstIndices rows, ConstIndices starts, ConstMatrix scales,
                 Matrix y) {
  check_segment_sum(x, rows, starts, scales, y);
  for (uint32_t s = 0; s < y.rows; ++s) {
    float* sum = y.device_data + size_t{s} * y.columns;
    std::fill_n(sum, y.columns, 0.0f);
    for (uint32_t k = starts.device_data[s]; k < starts.device_data[s + 1]; ++k) {
      const float* row = x.device_data + size_t{rows.device_data[k]} * x.columns;
      add_scaled(row, scales.empty() ? 1.0f : scales.device_data[k], sum, y.columns);
    }
  }
}

}  // namespace ballast::cpu
