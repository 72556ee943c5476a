#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"
#include "common/compute/dropout_mask.h"

namespace ballast::cuda {
namespace {

// A thread has two columns of a row, which share a hash.
__global__ void dropout_kernel(const float* x, DropoutMask mask, float* y, uint32_t rows,
                               uint32_t columns) {
  const uint32_t pairs = (columns + 1) / 2;
  for_elements(size_t{rows} * pairs, [&](size_t i) {
    const uint64_t row = i / pairs;
    const auto pair = static_cast<uint32_t>(i % pairs);
    const uint64_t bits = DropoutMask::bits_of(mask.row_key(row), pair);
    const size_t at = row * columns + size_t{2} * pair;
    y[at] = mask.even(bits, x[at]);
    if (2 * pair + 1 < columns) y[at + 1] = mask.odd(bits, x[at + 1]);
  });
}

}  // namespace

void dropout(cudaStream_t stream, ConstMatrix x, double rate, const DropoutKey& key, Matrix y) {
  BALLAST_CHECK(x.rows == y.rows && x.columns == y.columns);
  const DropoutMask mask(rate, key);
  if (y.size() == 0) return;
  dropout_kernel<<<blocks_for(y.size() / 2), kThreads, 0, stream>>>(
      x.device_data, mask, y.device_data, x.rows, x.columns);
}

}  // namespace ballast::cuda
