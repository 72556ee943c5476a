#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/sums.cuh"

namespace ballast::cuda {
namespace {

__global__ void column_sums_kernel(const float* x, float* sums, uint32_t rows, uint32_t columns) {
  sum_columns<1>(
      rows, columns,
      [&](uint32_t r, uint32_t c) { return Partial<1>{{x[size_t{r} * columns + c]}}; },
      [&](uint32_t c, const Partial<1>& total) { sums[c] = total.sum[0]; });
}

// As integers without the sign: every infinity or NaN is at least the pattern of infinity. All who
// find one write the same.
__global__ void find_non_finite_kernel(const float* values, float* found, size_t count) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  for_elements(count, [&](size_t i) {
    if ((__float_as_uint(values[i]) & 0x7fffffffu) >= kInfinity) *found = 1.0f;
  });
}

}  // namespace

void column_sums(cudaStream_t stream, ConstMatrix x, Matrix sums) {
  BALLAST_CHECK(sums.columns == x.columns);
  if (sums.size() == 0) return;
  column_sums_kernel<<<blocks_for_columns(x.columns), kThreads, 0, stream>>>(
      x.device_data, sums.device_data, x.rows, x.columns);
}

void find_non_finite(cudaStream_t stream, ConstMatrix values, Matrix found) {
  BALLAST_CHECK(found.size() == 1);
  cudaMemsetAsync(found.device_data, 0, sizeof(float), stream);
  if (values.size() == 0) return;
  find_non_finite_kernel<<<blocks_for(values.size()), kThreads, 0, stream>>>(
      values.device_data, found.device_data, values.size());
}

}  // namespace ballast::cuda
