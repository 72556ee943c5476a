// What kernels use of CUDA, for translate.py's C++: included before all else. Device functions are
// plain functions, shared memory is static (blocks run one after another).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/support/emulated_gpu/runtime.h"
#include "tests/support/emulated_gpu/threads.h"

#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)

#define threadIdx ::emulated_gpu::thread_index()
#define blockIdx ::emulated_gpu::block_index()
#define blockDim ::emulated_gpu::block_size()
#define gridDim ::emulated_gpu::grid_size()

inline void __syncthreads() {
  ::emulated_gpu::wait_for_block();
}
inline void __syncwarp(unsigned = 0xffffffffu) {
  ::emulated_gpu::wait_for_warp();
}

namespace emulated_gpu {

template <typename Value>
Value of_lane(Value value, uint32_t lane) {
  static_assert(sizeof(Value) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const uint64_t* all = exchange(bits);
  if (lane < kWarpLanes) std::memcpy(&value, &all[lane], sizeof value);
  return value;
}

template <typename Value, typename Join>
Value of_all(Value value, Join join) {
  const uint64_t* all = exchange(value);
  Value joined = static_cast<Value>(all[0]);
  for (uint32_t lane = 1; lane < kWarpLanes; ++lane) {
    joined = join(joined, static_cast<Value>(all[lane]));
  }
  return joined;
}

}  // namespace emulated_gpu

template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int mask) {
  return ::emulated_gpu::of_lane(value, ::emulated_gpu::lane_index() ^ static_cast<unsigned>(mask));
}
template <typename Value>
Value __shfl_sync(unsigned, Value value, int lane) {
  return ::emulated_gpu::of_lane(value, static_cast<unsigned>(lane) % ::emulated_gpu::kWarpLanes);
}
template <typename Value>
Value __shfl_down_sync(unsigned, Value value, unsigned by) {
  return ::emulated_gpu::of_lane(value, ::emulated_gpu::lane_index() + by);
}
inline unsigned __reduce_min_sync(unsigned, unsigned value) {
  return ::emulated_gpu::of_all(value, [](unsigned a, unsigned b) { return a < b ? a : b; });
}
inline unsigned __reduce_max_sync(unsigned, unsigned value) {
  return ::emulated_gpu::of_all(value, [](unsigned a, unsigned b) { return a < b ? b : a; });
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  const unsigned mine = predicate != 0 ? 1u << ::emulated_gpu::lane_index() : 0u;
  return ::emulated_gpu::of_all(mine, [](unsigned a, unsigned b) { return a | b; });
}

using std::max;
using std::min;
inline size_t min(size_t a, unsigned b) {
  return a < b ? a : b;
}
inline int __popc(unsigned bits) {
  return std::popcount(bits);
}
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline float __uint_as_float(unsigned value) {
  return std::bit_cast<float>(value);
}
// Each rounded: the build joins no products and sums.
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float a) {
  return std::sqrt(a);
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
template <typename Value>
Value __ldg(const Value* at) {
  return *at;
}
