// How many blocks and threads a kernel gets, and the sums that its threads share. For .cu files.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ballast::cuda {

inline constexpr uint32_t kWarp = 32;
inline constexpr uint32_t kThreads = 256;                  // of a block
inline constexpr uint32_t kRowsABlock = kThreads / kWarp;  // where a warp has a row
inline constexpr uint32_t kWholeWarp = 0xffffffffu;

// Of loops over single elements, whose threads go on to the next element a grid further. Enough to
// fill any card that there is: 132 multiprocessors of 8 such blocks.
inline uint32_t blocks_for(size_t elements) {
  constexpr size_t kMost = 2048;
  return static_cast<uint32_t>(std::clamp<size_t>((elements + kThreads - 1) / kThreads, 1, kMost));
}
inline uint32_t blocks_for_rows(uint32_t rows) {
  return (rows + kRowsABlock - 1) / kRowsABlock;
}

// visit(element) for each element of a thread.
template <typename Visit>
__device__ void for_elements(size_t count, Visit visit) {
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) visit(i);
}

// visit(row, lane) for the row of a warp, unless there is none.
template <typename Visit>
__device__ void for_row_of_warp(uint32_t rows, Visit visit) {
  const uint32_t row = blockIdx.x * kRowsABlock + threadIdx.x / kWarp;
  if (row < rows) visit(row, threadIdx.x % kWarp);
}

// Of a warp's 32 values; every lane gets it. The order is that of a butterfly, always the same.
__device__ inline float warp_sum(float value) {
  for (uint32_t half = kWarp / 2; half > 0; half /= 2) {
    value += __shfl_xor_sync(kWholeWarp, value, half);
  }
  return value;
}
__device__ inline float warp_max(float value) {
  for (uint32_t half = kWarp / 2; half > 0; half /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, value, half);
    value = value < other ? other : value;
  }
  return value;
}

// Sum of value(c) for c < count, by the lanes of a warp.
template <typename Value>
__device__ float row_sum(uint32_t count, uint32_t lane, Value value) {
  float sum = 0;
  for (uint32_t c = lane; c < count; c += kWarp) sum += value(c);
  return warp_sum(sum);
}

}  // namespace ballast::cuda
