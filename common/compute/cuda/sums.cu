#include <cuda_bf16.h>

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

__global__ void add_kernel(const float* x, float* into, size_t count) {
  for_elements(count, [&](size_t i) { into[i] += x[i]; });
}

// A thread has two values of a pair, the last one has one if they do not come out even.
__global__ void round_to_bf16_kernel(const float* x, __nv_bfloat162* rounded, size_t count) {
  for_elements((count + 1) / 2, [&](size_t i) {
    const float second = 2 * i + 1 < count ? x[2 * i + 1] : 0.0f;
    rounded[i] = __floats2bfloat162_rn(x[2 * i], second);
  });
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

void add_to(cudaStream_t stream, ConstMatrix x, Matrix into) {
  BALLAST_CHECK(x.size() == into.size());
  if (x.size() == 0) return;
  add_kernel<<<blocks_for(x.size()), kThreads, 0, stream>>>(x.device_data, into.device_data,
                                                            x.size());
}

void round_to_bf16(cudaStream_t stream, ConstMatrix matrix, void* rounded) {
  if (matrix.size() == 0) return;
  round_to_bf16_kernel<<<blocks_for((matrix.size() + 1) / 2), kThreads, 0, stream>>>(
      matrix.device_data, static_cast<__nv_bfloat162*>(rounded), matrix.size());
}

void find_non_finite(cudaStream_t stream, ConstMatrix values, Matrix found) {
  BALLAST_CHECK(found.size() == 1);
  cudaMemsetAsync(found.device_data, 0, sizeof(float), stream);
  if (values.size() == 0) return;
  find_non_finite_kernel<<<blocks_for(values.size()), kThreads, 0, stream>>>(
      values.device_data, found.device_data, values.size());
}

}  // namespace ballast::cuda
