// Four neighbouring columns of a row, which a thread reads and writes as one where they lie at a
// multiple of 16 bytes. A row's last quad may be cut off: what is missing reads as 0 and is not
// written. Sums of quads are the same bits however they were read. For .cu files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ballast::cuda {

inline constexpr uint32_t kQuad = 4;

inline uint32_t quads_of(uint32_t columns) {
  return columns / kQuad + (columns % kQuad != 0 ? 1 : 0);
}

// Whether every quad of a matrix's rows may be read as one.
inline bool has_whole_quads(const float* device_data, uint32_t columns) {
  return columns % kQuad == 0 && reinterpret_cast<uintptr_t>(device_data) % sizeof(float4) == 0;
}

// kWhole: has_whole_quads().
template <bool kWhole>
__device__ float4 load_quad(const float* row, uint32_t quad, uint32_t columns) {
  const float* at = row + size_t{quad} * kQuad;
  if constexpr (kWhole) {
    return *reinterpret_cast<const float4*>(at);
  } else {
    const uint32_t left = columns - quad * kQuad;  // of the row, from here
    return {at[0], left > 1 ? at[1] : 0.0f, left > 2 ? at[2] : 0.0f, left > 3 ? at[3] : 0.0f};
  }
}

template <bool kWhole>
__device__ void store_quad(float* row, uint32_t quad, uint32_t columns, float4 value) {
  float* at = row + size_t{quad} * kQuad;
  if constexpr (kWhole) {
    *reinterpret_cast<float4*>(at) = value;
  } else {
    const uint32_t left = columns - quad * kQuad;
    at[0] = value.x;
    if (left > 1) at[1] = value.y;
    if (left > 2) at[2] = value.z;
    if (left > 3) at[3] = value.w;
  }
}

__device__ inline void add(float4& sum, float4 more) {
  sum.x += more.x;
  sum.y += more.y;
  sum.z += more.z;
  sum.w += more.w;
}

__device__ inline void add_scaled(float4& sum, float scale, float4 x) {
  sum.x += scale * x.x;
  sum.y += scale * x.y;
  sum.z += scale * x.z;
  sum.w += scale * x.w;
}

}  // namespace ballast::cuda
