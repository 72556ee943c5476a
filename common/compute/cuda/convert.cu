// Bound by memory: the floats that are written are four fifths (u8) or two thirds (f16) of the
// bytes. A thread takes four neighbours at once where a row is a multiple of four: then every four
// begin at a multiple of 4 values, and are of one row.
#include <cuda_fp16.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"

namespace ballast::cuda {
namespace {

__device__ float to_float(uint8_t value) {
  return static_cast<float>(value);
}
__device__ float to_float(__half value) {
  return __half2float(value);
}

template <typename Value, uint32_t kCount>
struct alignas(sizeof(Value) * kCount) Group {
  Value value[kCount];
};

// (x - center) * factor + shift; `columns` values of each, or one for all, or none.
struct Scaling {
  const float *center, *factor, *shift;
  bool one_for_all;

  // The compiler must not join the steps: the host rounds each.
  __device__ float operator()(float x, uint32_t column) const {
    if (center == nullptr) return x;
    const uint32_t at = one_for_all ? 0 : column;
    return __fadd_rn(__fmul_rn(__fsub_rn(x, center[at]), factor[at]), shift[at]);
  }
};

// Blocks x threads go over the groups of a row, blockIdx.y over rows.
template <typename Value, uint32_t kCount>
__global__ void convert_kernel(const Value* x, Scaling scaling, float* y, uint32_t rows,
                               uint32_t columns) {
  const uint32_t groups = columns / kCount;
  for (uint32_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const auto* in = reinterpret_cast<const Group<Value, kCount>*>(x + size_t{row} * columns);
    auto* out = reinterpret_cast<Group<float, kCount>*>(y + size_t{row} * columns);
    for (uint32_t g = blockIdx.x * blockDim.x + threadIdx.x; g < groups;
         g += gridDim.x * blockDim.x) {
      const Group<Value, kCount> from = in[g];
      Group<float, kCount> to;
      for (uint32_t i = 0; i < kCount; ++i) {
        to.value[i] = scaling(to_float(from.value[i]), g * kCount + i);
      }
      out[g] = to;
    }
  }
}

template <typename Value, uint32_t kCount>
void launch(cudaStream_t stream, const Value* x, const Scaling& scaling, Matrix y) {
  const uint32_t along = (y.columns / kCount + kThreads - 1) / kThreads;
  const dim3 blocks(std::min(along, 64u), std::min(y.rows, 4096u));
  convert_kernel<Value, kCount>
      <<<blocks, kThreads, 0, stream>>>(x, scaling, y.device_data, y.rows, y.columns);
}

template <typename Value>
void convert_values(cudaStream_t stream, StoredMatrix x, const Scaling& scaling, Matrix y) {
  const auto* in = reinterpret_cast<const Value*>(x.device_data);
  const auto at =
      reinterpret_cast<uintptr_t>(y.device_data) | reinterpret_cast<uintptr_t>(x.device_data);
  if (x.columns % 4 == 0 && at % 16 == 0) return launch<Value, 4>(stream, in, scaling, y);
  launch<Value, 1>(stream, in, scaling, y);
}

}  // namespace

void convert(cudaStream_t stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
             ConstMatrix shift, Matrix y) {
  BALLAST_CHECK(x.rows == y.rows && x.columns == y.columns);
  BALLAST_CHECK(center.size() == factor.size() && center.size() == shift.size());
  BALLAST_CHECK(center.empty() || center.columns == 1 || center.columns == x.columns);
  if (y.size() == 0) return;
  const Scaling scaling{center.device_data, factor.device_data, shift.device_data,
                        center.columns == 1};
  if (x.type == StoredType::kU8) return convert_values<uint8_t>(stream, x, scaling, y);
  convert_values<__half>(stream, x, scaling, y);
}

}  // namespace ballast::cuda
