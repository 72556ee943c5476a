// Sums over the rows of a matrix, column by column, in an order that follows from the shape: a
// block has 32 columns, its eight warps take the rows in turn, and the eight partial sums are
// joined first warp first. 32 neighbouring columns are one line of memory, read once.
#pragma once

#include "common/compute/cuda/launch.cuh"

namespace ballast::cuda {

inline uint32_t blocks_for_columns(uint32_t columns) {
  return (columns + kWarp - 1) / kWarp;
}

// put(column, sums) with the sums over all rows r of what value(r, column) gives, kSums at a time.
template <uint32_t kSums>
struct Partial {
  float sum[kSums];
};
template <uint32_t kSums, typename Value, typename Put>
__device__ void sum_columns(uint32_t rows, uint32_t columns, Value value, Put put) {
  __shared__ float partial[kRowsABlock][kSums][kWarp];
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t column = blockIdx.x * kWarp + lane;
  Partial<kSums> own{};
  for (uint32_t r = warp; r < rows && column < columns; r += kRowsABlock) {
    const Partial<kSums> more = value(r, column);
    for (uint32_t s = 0; s < kSums; ++s) own.sum[s] += more.sum[s];
  }
  for (uint32_t s = 0; s < kSums; ++s) partial[warp][s][lane] = own.sum[s];
  __syncthreads();
  if (warp > 0 || column >= columns) return;
  for (uint32_t w = 1; w < kRowsABlock; ++w) {
    for (uint32_t s = 0; s < kSums; ++s) own.sum[s] += partial[w][s][lane];
  }
  put(column, own);
}

}  // namespace ballast::cuda
