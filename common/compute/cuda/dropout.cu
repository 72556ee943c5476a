// The mask is that of cpu/dropout.cc, bit for bit: whoever computes a lane drops the same values.
#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"

namespace ballast::cuda {
namespace {

// `key`: hash_numbers of all but the row. One thread, one hash, two columns.
__global__ void dropout_kernel(const float* x, uint64_t key, uint32_t threshold, float scale,
                               float* y, uint32_t rows, uint32_t columns) {
  const uint32_t pairs = (columns + 1) / 2;
  for_elements(size_t{rows} * pairs, [&](size_t i) {
    const uint64_t row = i / pairs;
    const auto pair = static_cast<uint32_t>(i % pairs);
    const uint64_t bits = mix64(mix64(key ^ mix64(row)) ^ pair);
    const size_t at = row * columns + size_t{2} * pair;
    y[at] = static_cast<uint32_t>(bits) >= threshold ? x[at] * scale : 0.0f;
    if (2 * pair + 1 == columns) return;
    y[at + 1] = static_cast<uint32_t>(bits >> 32) >= threshold ? x[at + 1] * scale : 0.0f;
  });
}

}  // namespace

void dropout(cudaStream_t stream, ConstMatrix x, double rate, const DropoutKey& key, Matrix y) {
  BALLAST_CHECK(x.rows == y.rows && x.columns == y.columns && rate >= 0 && rate < 1);
  if (y.size() == 0) return;
  const auto threshold = static_cast<uint32_t>(std::min(std::round(rate * 0x1.0p32), 0x1.0p32 - 1));
  const uint64_t all_but_row = hash_numbers({key.seed, key.clock, key.lane, key.layer});
  dropout_kernel<<<blocks_for(y.size() / 2), kThreads, 0, stream>>>(
      x.device_data, all_but_row, threshold, static_cast<float>(1 / (1 - rate)), y.device_data,
      x.rows, x.columns);
}

}  // namespace ballast::cuda
