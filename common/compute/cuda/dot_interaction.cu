// A block copies the vectors of one sample, or of several small ones, to shared memory, and reads
// them from there as often as they are needed; rows of an odd number of quads, so that rows beside
// each other begin in different banks. What a thread keeps in registers is a tile of kTile x kTile
// pairs (forward) or kTile vectors x a quad (backward): per element read of shared memory, kTile
// pairs or vectors are served. Samples of more than kSharedBytes are read from global memory by the
// plain kernels at the end, which any number of vectors and columns fits.
#include <cuda_pipeline_primitives.h>

#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"
#include "common/compute/cuda/quads.cuh"
#include "common/compute/table_operands.h"

namespace ballast::cuda {
namespace {

constexpr uint32_t kTile = 4;
constexpr uint32_t kTileSums = kTile * kTile;
constexpr size_t kSharedBytes = 48u << 10;  // of a block, where nothing else is asked for
// Small samples are taken together up to this: several blocks fit a multiprocessor (228 KB on
// H100).
constexpr size_t kBlockBytes = 16u << 10;

// What the kernels are told.
struct Interaction {
  const float* x;   // [samples, vectors * d]
  const float* dy;  // [samples, pairs]
  float* y;
  float* dx;
  uint32_t samples;
  uint32_t vectors;
  uint32_t d;
  uint32_t pairs;
  uint32_t quads;          // of a vector
  uint32_t pitch;          // quads from a vector to the next, in shared memory
  uint32_t tiles;          // of kTile vectors, the last may be cut off
  uint32_t block_samples;  // that a block has
};

// Of `samples` samples from `first` on. A cut-off quad is filled up with zeros.
template <bool kWhole>
__device__ void stage_vectors(const Interaction& all, uint32_t first, uint32_t samples,
                              float4* staged) {
  const float* from = all.x + size_t{first} * all.vectors * all.d;
  for (uint32_t i = threadIdx.x; i < samples * all.vectors * all.quads; i += kThreads) {
    const uint32_t vector = i / all.quads, quad = i % all.quads;
    float4* to = staged + vector * all.pitch + quad;
    const float* row = from + size_t{vector} * all.d;
    if constexpr (kWhole) {
      __pipeline_memcpy_async(to, row + size_t{quad} * kQuad, sizeof(float4));
    } else {
      *to = load_quad<false>(row, quad, all.d);
    }
  }
  __pipeline_commit();
}

__device__ void wait_for_staged() {
  __pipeline_wait_prior(0);
  __syncthreads();
}

__device__ float dot(float4 a, float4 b, float sum) {
  return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

// Adds up kTileSums sums of each of kLanes lanes: lane l has the totals of the sums from
// l * kTileSums / kLanes on, as its first. In each turn a lane gives half of what it has left.
template <uint32_t kLanes>
__device__ void join_lanes(float (&sum)[kTileSums], uint32_t lane) {
  uint32_t kept = kTileSums / 2;
#pragma unroll
  for (uint32_t half = kLanes / 2; half > 0; half /= 2) {
    const bool upper = (lane & half) != 0;
#pragma unroll
    for (uint32_t i = 0; i < kTileSums / 2; ++i) {
      if (i >= kept) break;
      const float given = upper ? sum[i] : sum[i + kept];
      const float own = upper ? sum[i + kept] : sum[i];
      sum[i] = own + __shfl_xor_sync(kWholeWarp, given, half);
    }
    kept /= 2;
  }
}

// The row of tile `tile` of a triangle whose row r has tiles 0 to r. Exact: fewer than 2^20 tiles
// fit into shared memory.
__device__ uint32_t triangle_row(uint32_t tile) {
  auto row = static_cast<uint32_t>((sqrtf(8.0f * static_cast<float>(tile) + 1.0f) - 1.0f) * 0.5f);
  while (row * (row + 1) / 2 > tile) --row;
  while ((row + 1) * (row + 2) / 2 <= tile) ++row;
  return row;
}

// kLanes lanes have a tile of a sample's pairs, each every kLanes-th quad of the vectors.
template <uint32_t kLanes, bool kWhole>
__global__ void __launch_bounds__(kThreads, 4) forward_kernel(Interaction all) {
  extern __shared__ float4 staged[];
  const uint32_t first = blockIdx.x * all.block_samples;
  const uint32_t samples = min(all.block_samples, all.samples - first);
  stage_vectors<kWhole>(all, first, samples, staged);
  wait_for_staged();
  const uint32_t lane = threadIdx.x % kLanes;
  const uint32_t triangle = all.tiles * (all.tiles + 1) / 2, last = all.vectors - 1;
  const uint32_t work = samples * triangle;
  // Whole warps go on together: lanes without a tile take the last one and keep it to themselves.
  for (uint32_t begin = 0; begin < work; begin += kThreads / kLanes) {
    const uint32_t mine = begin + threadIdx.x / kLanes;
    const uint32_t item = min(mine, work - 1);
    const uint32_t sample = item / triangle, tile = item % triangle;
    const uint32_t tile_row = triangle_row(tile);
    const uint32_t i0 = tile_row * kTile;
    const uint32_t j0 = (tile - tile_row * (tile_row + 1) / 2) * kTile;
    const float4* vectors = staged + sample * all.vectors * all.pitch;
    float sum[kTileSums] = {};
    for (uint32_t q = lane; q < all.quads; q += kLanes) {
      float4 a[kTile];
#pragma unroll
      for (uint32_t r = 0; r < kTile; ++r) a[r] = vectors[min(i0 + r, last) * all.pitch + q];
#pragma unroll
      for (uint32_t c = 0; c < kTile; ++c) {
        const float4 b = vectors[min(j0 + c, last) * all.pitch + q];
#pragma unroll
        for (uint32_t r = 0; r < kTile; ++r) sum[r * kTile + c] = dot(a[r], b, sum[r * kTile + c]);
      }
    }
    join_lanes<kLanes>(sum, lane);
    float* out = all.y + size_t{first + sample} * all.pairs;
#pragma unroll
    for (uint32_t s = 0; s < kTileSums / kLanes; ++s) {
      const uint32_t at = lane * (kTileSums / kLanes) + s;
      const uint32_t i = i0 + at / kTile, j = j0 + at % kTile;
      if (mine < work && i <= last && j < i) out[pair_at(i, j)] = sum[s];
    }
  }
}

// The gradients of a sample's pairs as a symmetric matrix [vectors, tiles * kTile] of zeros on the
// diagonal and beyond the last vector.
__device__ void stage_gradients(const Interaction& all, uint32_t first, uint32_t samples,
                                float* staged) {
  const uint32_t columns = all.tiles * kTile;
  for (uint32_t at = threadIdx.x; at < samples * all.vectors * columns; at += kThreads) {
    const uint32_t i = at / columns % all.vectors, j = at % columns;
    const size_t sample = first + at / (columns * all.vectors);
    const bool there = i != j && j < all.vectors;
    staged[at] = there ? all.dy[sample * all.pairs + pair_at(i, j)] : 0.0f;
  }
}

// A thread has one quad of kTile vectors of a sample.
template <bool kWhole>
__global__ void __launch_bounds__(kThreads) backward_kernel(Interaction all) {
  extern __shared__ float4 staged[];
  float4* gradients = staged + all.block_samples * all.vectors * all.pitch;
  const uint32_t first = blockIdx.x * all.block_samples;
  const uint32_t samples = min(all.block_samples, all.samples - first);
  stage_vectors<kWhole>(all, first, samples, staged);
  stage_gradients(all, first, samples, reinterpret_cast<float*>(gradients));
  wait_for_staged();
  for (uint32_t item = threadIdx.x; item < samples * all.tiles * all.quads; item += kThreads) {
    const uint32_t quad = item % all.quads, tile = item / all.quads % all.tiles;
    const uint32_t sample = item / (all.quads * all.tiles);
    const float4* vectors = staged + sample * all.vectors * all.pitch + quad;
    const float4* of_tile = gradients + sample * all.vectors * all.tiles + tile;
    float4 sum[kTile] = {};
#pragma unroll 2
    for (uint32_t j = 0; j < all.vectors; ++j) {
      const float4 x = vectors[j * all.pitch];
      const float4 dy = of_tile[j * all.tiles];
      add_scaled(sum[0], dy.x, x);
      add_scaled(sum[1], dy.y, x);
      add_scaled(sum[2], dy.z, x);
      add_scaled(sum[3], dy.w, x);
    }
    float* out = all.dx + size_t{first + sample} * all.vectors * all.d;
#pragma unroll
    for (uint32_t r = 0; r < kTile; ++r) {
      const uint32_t i = tile * kTile + r;
      if (i < all.vectors) store_quad<kWhole>(out + size_t{i} * all.d, quad, all.d, sum[r]);
    }
  }
}

// A warp has a pair.
__global__ void plain_forward_kernel(Interaction all) {
  const size_t step = size_t{gridDim.x} * kRowsABlock;
  const size_t count = size_t{all.samples} * all.vectors * all.vectors;
  for (size_t at = size_t{blockIdx.x} * kRowsABlock + threadIdx.x / kWarp; at < count; at += step) {
    const size_t sample = at / all.vectors / all.vectors;
    const auto i = static_cast<uint32_t>(at / all.vectors % all.vectors);
    const auto j = static_cast<uint32_t>(at % all.vectors);
    if (j >= i) continue;
    const float* vectors = all.x + sample * all.vectors * all.d;
    const float *a = vectors + size_t{i} * all.d, *b = vectors + size_t{j} * all.d;
    const float sum = row_sum(all.d, threadIdx.x % kWarp, [&](uint32_t c) { return a[c] * b[c]; });
    if (threadIdx.x % kWarp == 0) all.y[sample * all.pairs + pair_at(i, j)] = sum;
  }
}

// A thread has an element.
__global__ void plain_backward_kernel(Interaction all) {
  const size_t columns = size_t{all.vectors} * all.d;
  for_elements(all.samples * columns, [&](size_t at) {
    const size_t sample = at / columns, i = at % columns / all.d, c = at % all.d;
    float sum = 0;
    for (size_t j = 0; j < all.vectors; ++j) {
      if (j == i) continue;
      sum += all.dy[sample * all.pairs + pair_at(i, j)] * all.x[sample * columns + j * all.d + c];
    }
    all.dx[at] = sum;
  });
}

Interaction interaction_of(ConstMatrix x, uint32_t vectors) {
  Interaction all{};
  all.x = x.device_data;
  all.samples = x.rows;
  all.vectors = vectors;
  all.d = x.columns / vectors;
  all.pairs = static_cast<uint32_t>(pairs_of(vectors));
  all.quads = quads_of(all.d);
  all.pitch = all.quads | 1;
  all.tiles = (vectors + kTile - 1) / kTile;
  return all;
}

// Of shared memory, in whole quads.
size_t sample_bytes(const Interaction& all, bool with_gradients) {
  const size_t row_quads = size_t{all.pitch} + (with_gradients ? all.tiles : 0);
  return all.vectors * row_quads * sizeof(float4);
}

// Sets block_samples and launches a kernel of `bytes` of shared memory a sample.
void launch(cudaStream_t stream, void (*kernel)(Interaction), Interaction all, size_t bytes) {
  all.block_samples = static_cast<uint32_t>(std::clamp<size_t>(kBlockBytes / bytes, 1, kThreads));
  const uint32_t blocks = (all.samples - 1) / all.block_samples + 1;
  kernel<<<blocks, kThreads, all.block_samples * bytes, stream>>>(all);
}

template <bool kWhole>
auto* forward_kernel_for(uint32_t quads) {
  if (quads > 4) return forward_kernel<8, kWhole>;
  if (quads > 2) return forward_kernel<4, kWhole>;
  return quads > 1 ? forward_kernel<2, kWhole> : forward_kernel<1, kWhole>;
}

}  // namespace

void dot_interaction_forward(cudaStream_t stream, ConstMatrix x, uint32_t vectors, Matrix y) {
  check_dot_interaction(x, vectors, y);
  if (y.size() == 0) return;
  Interaction all = interaction_of(x, vectors);
  all.y = y.device_data;
  const size_t bytes = sample_bytes(all, false);
  if (bytes > kSharedBytes) {
    const size_t work = size_t{all.samples} * vectors * vectors;
    plain_forward_kernel<<<blocks_for(work * kWarp), kThreads, 0, stream>>>(all);
    return;
  }
  const bool whole = has_whole_quads(x.device_data, all.d);
  launch(stream, whole ? forward_kernel_for<true>(all.quads) : forward_kernel_for<false>(all.quads),
         all, bytes);
}

void dot_interaction_backward(cudaStream_t stream, ConstMatrix x, uint32_t vectors, ConstMatrix dy,
                              Matrix dx) {
  check_dot_interaction(x, vectors, dy);
  BALLAST_CHECK(dx.rows == x.rows && dx.columns == x.columns);
  if (dx.size() == 0) return;
  Interaction all = interaction_of(x, vectors);
  all.dy = dy.device_data;
  all.dx = dx.device_data;
  const size_t bytes = sample_bytes(all, true);
  if (bytes > kSharedBytes) {
    plain_backward_kernel<<<blocks_for(dx.size()), kThreads, 0, stream>>>(all);
    return;
  }
  const bool whole =
      has_whole_quads(x.device_data, all.d) && has_whole_quads(dx.device_data, all.d);
  launch(stream, whole ? backward_kernel<true> : backward_kernel<false>, all, bytes);
}

}  // namespace ballast::cuda
