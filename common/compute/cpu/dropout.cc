#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"
#include "common/compute/dropout_mask.h"

namespace ballast::cpu {
namespace {

void dropout_row(const float* x, uint64_t row_key, DropoutMask mask, float* y, uint32_t columns) {
  const uint32_t pairs = columns / 2;
  BALLAST_INDEPENDENT_ITERATIONS
  for (uint32_t p = 0; p < pairs; ++p) {
    const uint64_t bits = DropoutMask::bits_of(row_key, p);
    const float even = mask.even(bits, x[2 * p]);
    const float odd = mask.odd(bits, x[2 * p + 1]);
    y[2 * p] = even;
    y[2 * p + 1] = odd;
  }
  if (columns % 2 == 1) {
    y[columns - 1] = mask.even(DropoutMask::bits_of(row_key, pairs), x[columns - 1]);
  }
}

}  // namespace

void dropout(ConstMatrix x, double rate, const DropoutKey& key, Matrix y) {
  BALLAST_CHECK(x.rows == y.rows && x.columns == y.columns);
  const DropoutMask mask(rate, key);
  for (uint32_t r = 0; r < x.rows; ++r) {
    const size_t start = size_t{r} * x.columns;
    dropout_row(x.device_data + start, mask.row_key(r), mask, y.device_data + start, x.columns);
  }
}

}  // namespace ballast::cpu
