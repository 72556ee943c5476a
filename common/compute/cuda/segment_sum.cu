// Keys are skewed: most segments have one to three items, and that of a key that is in every row
// has tens of thousands. So a segment of less than kPiece items is summed by as many lanes as its
// row has quads, 32 at most, and a longer one is cut into pieces of kPiece items, its last piece
// with those left over, each summed by a warp; pieces of one segment meet in scratch memory, which
// a second kernel adds up. Where a segment is cut depends on its length alone.
//
// Who has which piece follows from starts, without a list or a counter: the items of all segments
// are windows of kPiece, and as no piece is shorter, at most one begins in a window, and it holds
// the window's last item. The pieces of a segment begin in windows that follow each other.
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"
#include "common/compute/cuda/quads.cuh"
#include "common/compute/table_operands.h"

namespace ballast::cuda {
namespace {

constexpr uint32_t kPiece = 64;

// One quad of each window, at least: no number of items needs more scratch memory.
static_assert(kSegmentItemsMax / kPiece * kQuad <= kSegmentScratchFloats);
static_assert(kSegmentScratchItems == 2 * kPiece);

// What the kernels are told. Of the columns they take `quads` quads from `first_quad` on.
struct Sums {
  const float* x;
  const uint32_t* rows;
  const uint32_t* starts;
  const float* scales;  // null: all 1
  float* y;
  float4* scratch;  // [windows, quads]: the sum of the piece that begins there
  uint32_t windows;
  uint32_t segments;
  uint32_t columns;
  uint32_t first_quad;
  uint32_t quads;
  uint32_t lanes;  // of a row: a power of two, 32 at most
};

// add<n>(at) for the places [at, at + n) below count, in order, n being 4, 2 or 1: known when this
// is compiled, so that all n are asked for before the first is added.
template <typename Add>
__device__ void in_batches(uint32_t count, Add add) {
  uint32_t at = 0;
#pragma unroll 1
  for (; count - at >= 4; at += 4) add.template operator()<4>(at);
  if (count - at >= 2) {
    add.template operator()<2>(at);
    at += 2;
  }
  if (at < count) add.template operator()<1>(at);
}

// How many of first, first + step, ... are below last.
__device__ uint32_t steps(uint32_t first, uint32_t last, uint32_t step) {
  return first < last ? (last - first + step - 1) / step : 0;
}

// Of the items first, first + step, ... below last, in this order.
template <bool kWhole>
__device__ float4 sum_items(const Sums& all, uint32_t first, uint32_t last, uint32_t step,
                            uint32_t quad) {
  float4 sum{};
  in_batches(steps(first, last, step), [&]<uint32_t kCount>(uint32_t at) {
    const float* row[kCount];
    float scale[kCount];
    float4 x[kCount];
#pragma unroll
    for (uint32_t i = 0; i < kCount; ++i) {
      const uint32_t item = first + (at + i) * step;
      row[i] = all.x + size_t{all.rows[item]} * all.columns;
      scale[i] = all.scales == nullptr ? 1.0f : all.scales[item];
    }
#pragma unroll
    for (uint32_t i = 0; i < kCount; ++i) x[i] = load_quad<kWhole>(row[i], quad, all.columns);
#pragma unroll
    for (uint32_t i = 0; i < kCount; ++i) add_scaled(sum, scale[i], x[i]);
  });
  return sum;
}

template <bool kWhole>
__device__ void store(const Sums& all, uint32_t segment, uint32_t quad, float4 sum) {
  store_quad<kWhole>(all.y + size_t{segment} * all.columns, quad, all.columns, sum);
}

// Segments of less than kPiece items: a group of all.lanes lanes has one, its items in turn.
template <bool kWhole>
__device__ void sum_short_segment(const Sums& all, uint32_t block) {
  const size_t segment = (size_t{block} * kThreads + threadIdx.x) / all.lanes;
  if (segment >= all.segments) return;
  const uint32_t first = all.starts[segment], last = all.starts[segment + 1];
  if (last - first >= kPiece) return;
  for (uint32_t q = threadIdx.x % all.lanes; q < all.quads; q += all.lanes) {
    const uint32_t quad = all.first_quad + q;
    store<kWhole>(all, static_cast<uint32_t>(segment), quad,
                  sum_items<kWhole>(all, first, last, 1, quad));
  }
}

// The segment that holds an item: the last that starts at or before it. By a whole warp, which
// looks at 32 places at a time.
__device__ uint32_t segment_of(const Sums& all, uint32_t item, uint32_t lane) {
  size_t low = 0, high = all.segments;  // starts[low] <= item < starts[high]
  while (high - low > 1) {
    const size_t step = (high - low + kWarp - 1) / kWarp;
    const size_t probe = low + (lane + 1) * step;
    const bool below = probe < high && all.starts[probe] <= item;
    const uint32_t count = __popc(__ballot_sync(kWholeWarp, below));
    low += count * step;
    high = min(high, low + step);
  }
  return static_cast<uint32_t>(low);
}

struct Piece {
  uint32_t segment;
  uint32_t first;  // its items
  uint32_t last;
  uint32_t number;
  uint32_t pieces;  // of the segment; 0: no piece begins in the window
};

// By a whole warp.
__device__ Piece piece_of(const Sums& all, uint32_t window, uint32_t lane) {
  const uint32_t window_first = window * kPiece, window_last = window_first + kPiece - 1;
  const uint32_t segment = segment_of(all, window_last, lane);
  const uint32_t start = all.starts[segment], end = all.starts[segment + 1];
  const uint32_t pieces = (end - start) / kPiece;
  if (pieces == 0) return {};
  const uint32_t number = min((window_last - start) / kPiece, pieces - 1);
  const uint32_t first = start + number * kPiece;
  if (first < window_first) return {};
  return {segment, first, number + 1 == pieces ? end : first + kPiece, number, pieces};
}

// A warp has a window and, of the piece that begins there, as many rows at a time as fit into it.
template <bool kWhole>
__device__ void sum_piece(const Sums& all, uint32_t block) {
  const uint32_t window = block * kRowsABlock + threadIdx.x / kWarp;
  if (window >= all.windows) return;
  const uint32_t lane = threadIdx.x % kWarp;
  const Piece piece = piece_of(all, window, lane);
  if (piece.pieces == 0) return;
  const uint32_t row = lane / all.lanes, rows = kWarp / all.lanes;
  for (uint32_t begin = 0; begin < all.quads; begin += all.lanes) {
    const uint32_t q = begin + lane % all.lanes;
    const bool there = q < all.quads;
    const uint32_t quad = all.first_quad + q;
    float4 sum{};
    if (there) sum = sum_items<kWhole>(all, piece.first + row, piece.last, rows, quad);
    for (uint32_t half = kWarp / 2; half >= all.lanes; half /= 2) {
      add(sum,
          {__shfl_xor_sync(kWholeWarp, sum.x, half), __shfl_xor_sync(kWholeWarp, sum.y, half),
           __shfl_xor_sync(kWholeWarp, sum.z, half), __shfl_xor_sync(kWholeWarp, sum.w, half)});
    }
    if (!there || row > 0) continue;
    if (piece.pieces == 1) {
      store<kWhole>(all, piece.segment, quad, sum);
    } else {
      all.scratch[size_t{window} * all.quads + q] = sum;
    }
  }
}

// The blocks of pieces come first: they take the longest. Five blocks a multiprocessor: with the
// registers of six the compiler asks for one row after the other.
template <bool kWhole>
__global__ void __launch_bounds__(kThreads, 5) sum_kernel(Sums all, uint32_t piece_blocks) {
  if (blockIdx.x < piece_blocks) {
    sum_piece<kWhole>(all, blockIdx.x);
  } else {
    sum_short_segment<kWhole>(all, blockIdx.x - piece_blocks);
  }
}

// A block adds up, one after the other, the segments of several pieces of which the first begins in
// one of its windows: each group of all.lanes lanes has its share of the pieces, and the groups'
// sums are joined first group first.
template <bool kWhole>
__global__ void __launch_bounds__(kThreads) join_kernel(Sums all) {
  __shared__ Piece begun[kRowsABlock];
  __shared__ float4 partial[kThreads];
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const uint32_t first_window = blockIdx.x * kRowsABlock;
  const uint32_t window = first_window + warp;
  const Piece own = window < all.windows ? piece_of(all, window, lane) : Piece{};
  if (lane == 0) begun[warp] = own;
  __syncthreads();
  const uint32_t group = threadIdx.x / all.lanes, groups = kThreads / all.lanes;
  for (uint32_t w = 0; w < kRowsABlock; ++w) {
    const Piece piece = begun[w];
    if (piece.pieces < 2 || piece.number > 0) continue;  // the whole block does
    const float4* sums = all.scratch + size_t{first_window + w} * all.quads;
    for (uint32_t begin = 0; begin < all.quads; begin += all.lanes) {
      const uint32_t q = begin + threadIdx.x % all.lanes;
      const bool there = q < all.quads;
      float4 sum{};
      if (there) {
        in_batches(steps(group, piece.pieces, groups), [&]<uint32_t kCount>(uint32_t at) {
          float4 more[kCount];
#pragma unroll
          for (uint32_t i = 0; i < kCount; ++i) {
            more[i] = sums[(group + size_t{at + i} * groups) * all.quads + q];
          }
#pragma unroll
          for (uint32_t i = 0; i < kCount; ++i) add(sum, more[i]);
        });
      }
      partial[threadIdx.x] = sum;
      __syncthreads();
      if (there && group == 0) {
        for (uint32_t g = 1; g < groups; ++g) add(sum, partial[g * all.lanes + threadIdx.x]);
        store<kWhole>(all, piece.segment, all.first_quad + q, sum);
      }
      __syncthreads();
    }
  }
}

uint32_t lanes_for(uint32_t quads) {
  uint32_t lanes = 1;
  while (lanes < quads && lanes < kWarp) lanes *= 2;
  return lanes;
}

template <bool kWhole>
void launch(cudaStream_t stream, const Sums& all) {
  const uint32_t piece_blocks = blocks_for_rows(all.windows);
  const auto segment_blocks =
      static_cast<uint32_t>((size_t{all.segments} * all.lanes + kThreads - 1) / kThreads);
  sum_kernel<kWhole><<<piece_blocks + segment_blocks, kThreads, 0, stream>>>(all, piece_blocks);
  if (all.windows > 1) join_kernel<kWhole><<<piece_blocks, kThreads, 0, stream>>>(all);
}

}  // namespace

void segment_sum(cudaStream_t stream, ConstMatrix x, ConstIndices rows, ConstIndices starts,
                 ConstMatrix scales, float* scratch, Matrix y) {
  check_segment_sum(x, rows, starts, scales, y);
  if (y.size() == 0) return;
  const uint32_t quads = quads_of(y.columns);
  const auto windows = static_cast<uint32_t>(rows.count / kPiece);
  // All at once, but for so many items of so many columns that their pieces do not fit.
  const size_t quads_max = windows < 2 ? quads : kSegmentScratchFloats / kQuad / windows;
  const bool whole =
      has_whole_quads(x.device_data, x.columns) && has_whole_quads(y.device_data, y.columns);
  Sums all{};
  all.x = x.device_data;
  all.rows = rows.device_data;
  all.starts = starts.device_data;
  all.scales = scales.device_data;
  all.y = y.device_data;
  all.scratch = reinterpret_cast<float4*>(scratch);
  all.windows = windows;
  all.segments = y.rows;
  all.columns = y.columns;
  all.lanes = lanes_for(quads);
  for (uint32_t first = 0; first < quads; first += all.quads) {
    all.first_quad = first;
    all.quads = static_cast<uint32_t>(std::min<size_t>(quads - first, quads_max));
    whole ? launch<true>(stream, all) : launch<false>(stream, all);
  }
}

}  // namespace ballast::cuda
