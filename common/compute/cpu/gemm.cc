// Three loops around a kernel. A block of b, kInnerMax x kColumnsMax, is packed into slivers of
// kTileColumns columns, a block of a, kRowsMax x kInnerMax, into slivers of kTileRows rows; both
// together fill most of a second-level cache. tile() walks one sliver of each and keeps kTileRows x
// kTileColumns sums in registers.
//
// This file is compiled with -ffp-contract=fast: sum += a * b is one fused operation where the
// processor has it. No element notices where it lies, because all of them pass through tile().
#include "common/compute/cpu/gemm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <experimental/simd>

#include "common/base/check.h"

namespace ballast::cpu {
namespace {

constexpr uint32_t kVector = std::experimental::native_simd<float>::size();

// With 32 registers (AVX-512) 8 x 2 sums, two vectors of b and one value of a; with 16, 4 x 3.
// Taller tiles (12, 14 rows) were not faster and waste more on powers of two.
constexpr bool kManyRegisters = kVector == 16;
constexpr uint32_t kTileRows = kManyRegisters ? 8 : 4;
constexpr uint32_t kTileVectors = kManyRegisters ? 2 : 3;
constexpr uint32_t kTileColumns = kTileVectors * kVector;

// Packed blocks: 400 KiB each, of the 1 MiB second-level cache that server cores have had since
// 2017. A sliver of a (12.5 KiB) stays in the first level.
constexpr uint32_t kInnerMax = 400;
constexpr uint32_t kRowsMax = 256;
constexpr uint32_t kColumnsMax = 256 / kTileColumns * kTileColumns;

// Up to this many rows of output b is read where it lies: packing it would cost more than it saves.
constexpr uint32_t kFewRows = 3 * kTileRows;

// Waking a sleeping thread costs 30 to 40 us on a virtual machine, in which one core does about 2
// million multiply-adds: smaller products stay on one thread.
constexpr uint64_t kCutFrom = 8'000'000;

template <uint32_t kFloats>
using Floats [[gnu::vector_size(kFloats * sizeof(float))]] = float;
using Vector = Floats<kVector>;
using Quad = Floats<4>;

template <typename T>
[[gnu::always_inline]] inline T load(const float* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
template <typename T>
[[gnu::always_inline]] inline void store(float* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

// out[kTileRows, kVectors * kVector] = or += the product of a sliver of a and one of b, `inner`
// long; b advances by b_step a value of `inner`, out by out_step a row.
template <uint32_t kVectors>
void tile(const float* a, const float* b, size_t b_step, uint32_t inner, float* out,
          size_t out_step, bool adds) {
  Vector sums[kTileRows][kVectors] = {};
  for (uint32_t k = 0; k < inner; ++k) {
    Vector values[kVectors];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kVectors; ++v) values[v] = load<Vector>(b + v * kVector);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < kTileRows; ++r) {
      const float factor = a[r];
#pragma GCC unroll 4
      for (uint32_t v = 0; v < kVectors; ++v) sums[r][v] += factor * values[v];
    }
    a += kTileRows;
    b += b_step;
  }
#pragma GCC unroll 8
  for (uint32_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kVectors; ++v) {
      float* to = out + r * out_step + v * kVector;
      store(to, adds ? load<Vector>(to) + sums[r][v] : sums[r][v]);
    }
  }
}

// The tile for `columns` <= kTileColumns of them: the narrowest kernel that holds them.
void tile_of(uint32_t columns, const float* a, const float* b, size_t b_step, uint32_t inner,
             float* out, size_t out_step, bool adds) {
  if (columns <= kVector) return tile<1>(a, b, b_step, inner, out, out_step, adds);
  tile<kTileVectors>(a, b, b_step, inner, out, out_step, adds);
}

// to[j * to_step + i] = from[i * from_step + j] for 4 x 4 values.
[[gnu::always_inline]] inline void transpose(const float* from, size_t from_step, float* to,
                                             size_t to_step) {
  const Quad r0 = load<Quad>(from);
  const Quad r1 = load<Quad>(from + from_step);
  const Quad r2 = load<Quad>(from + 2 * from_step);
  const Quad r3 = load<Quad>(from + 3 * from_step);
  const Quad low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
  const Quad high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  const Quad low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
  const Quad high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  store<Quad>(to, __builtin_shufflevector(low01, low23, 0, 1, 4, 5));
  store<Quad>(to + to_step, __builtin_shufflevector(low01, low23, 2, 3, 6, 7));
  store<Quad>(to + 2 * to_step, __builtin_shufflevector(high01, high23, 0, 1, 4, 5));
  store<Quad>(to + 3 * to_step, __builtin_shufflevector(high01, high23, 2, 3, 6, 7));
}

// One sliver: to[k * kWidth + i] = from[i * across + k * along] for i < width, zero up to kWidth.
template <uint32_t kWidth>
void pack_sliver(const float* from, size_t across, size_t along, uint32_t width, uint32_t inner,
                 float* to) {
  uint32_t k = 0;
  if (width == kWidth && across == 1) {
    for (; k < inner; ++k) std::memcpy(to + k * kWidth, from + k * along, sizeof(float) * kWidth);
  } else if (width == kWidth) {
    static_assert(kWidth % 4 == 0);
    for (; k + 4 <= inner; k += 4) {
      for (uint32_t i = 0; i < kWidth; i += 4) {
        transpose(from + i * across + k, across, to + k * kWidth + i, kWidth);
      }
    }
  }
  for (; k < inner; ++k) {
    for (uint32_t i = 0; i < kWidth; ++i) {
      to[k * kWidth + i] = i < width ? from[i * across + k * along] : 0.0f;
    }
  }
}

// `count` rows (or columns) into slivers of kWidth, one after another.
template <uint32_t kWidth>
void pack(const float* from, size_t across, size_t along, uint32_t count, uint32_t inner,
          float* to) {
  for (uint32_t first = 0; first < count; first += kWidth) {
    pack_sliver<kWidth>(from + first * across, across, along, std::min(kWidth, count - first),
                        inner, to + size_t{first} * inner);
  }
}

// Blocks of one product, as packed and as they lie.
struct Blocks {
  const float* a;      // packed
  const float* b;      // packed
  const float* raw_b;  // where b[k, columns] lies, or null: to be read packed
  size_t raw_step;
  uint32_t rows;
  uint32_t columns;
  uint32_t inner;
};

// out[rows, columns] = or += a b, tile by tile; a tile at the edge goes through memory of its own.
void multiply_blocks(const Blocks& blocks, float* out, size_t out_step, bool adds) {
  alignas(64) float edge[kTileRows * kTileColumns];
  for (uint32_t r = 0; r < blocks.rows; r += kTileRows) {
    const uint32_t rows = std::min(kTileRows, blocks.rows - r);
    const float* a = blocks.a + size_t{r} * blocks.inner;
    for (uint32_t c = 0; c < blocks.columns; c += kTileColumns) {
      const uint32_t columns = std::min(kTileColumns, blocks.columns - c);
      const bool whole = rows == kTileRows && columns == kTileColumns;
      const bool raw = blocks.raw_b != nullptr && columns == kTileColumns;
      const float* b = raw ? blocks.raw_b + c : blocks.b + size_t{c} * blocks.inner;
      const size_t b_step = raw ? blocks.raw_step : kTileColumns;
      float* to = out + r * out_step + c;
      if (whole) {
        tile<kTileVectors>(a, b, b_step, blocks.inner, to, out_step, adds);
        continue;
      }
      tile_of(columns, a, b, b_step, blocks.inner, edge, kTileColumns, false);
      for (uint32_t i = 0; i < rows; ++i) {
        for (uint32_t j = 0; j < columns; ++j) {
          const float sum = edge[i * kTileColumns + j];
          to[i * out_step + j] = adds ? to[i * out_step + j] + sum : sum;
        }
      }
    }
  }
}

// One thread's share: all columns of out's rows.
void multiply_rows(const Gemm::Operand& a, const Gemm::Operand& b, uint32_t inner, Matrix out,
                   float* packed_a, float* packed_b) {
  // Parts of equal length, so that none is short; from `inner` alone, as the bits depend on it.
  const uint32_t parts = (inner + kInnerMax - 1) / kInnerMax;
  const uint32_t inner_step = (inner + parts - 1) / parts;
  for (uint32_t c = 0; c < out.columns; c += kColumnsMax) {
    const uint32_t columns = std::min(kColumnsMax, out.columns - c);
    for (uint32_t k = 0; k < inner; k += inner_step) {
      const uint32_t length = std::min(inner_step, inner - k);
      const float* b_block = b.data + k * b.row_step + c * b.column_step;
      const bool raw = b.column_step == 1 && out.rows <= kFewRows;
      const uint32_t unpacked = raw ? columns / kTileColumns * kTileColumns : 0;
      pack<kTileColumns>(b_block + unpacked * b.column_step, b.column_step, b.row_step,
                         columns - unpacked, length, packed_b + size_t{unpacked} * length);
      for (uint32_t r = 0; r < out.rows; r += kRowsMax) {
        const uint32_t rows = std::min(kRowsMax, out.rows - r);
        pack<kTileRows>(a.data + r * a.row_step + k * a.column_step, a.row_step, a.column_step,
                        rows, length, packed_a);
        multiply_blocks(
            {packed_a, packed_b, raw ? b_block : nullptr, b.row_step, rows, columns, length},
            out.device_data + size_t{r} * out.columns + c, out.columns, k > 0);
      }
    }
  }
}

}  // namespace

Gemm::Gemm(uint32_t threads) : crew_(threads) {
  for (uint32_t part = 0; part < threads; ++part) {
    packing_.push_back(Buffer::allocate((kRowsMax + kColumnsMax) * kInnerMax * sizeof(float)));
  }
}

void Gemm::product(const Operand& a, const Operand& b, uint32_t inner, Matrix out) {
  if (inner == 0) {
    std::fill_n(out.device_data, out.size(), 0.0f);
    return;
  }
  const auto run = [&](uint32_t part, uint32_t first, uint32_t count) {
    float* packed = packing_[part].floats().data();
    multiply_rows({a.data + first * a.row_step, a.row_step, a.column_step}, b, inner,
                  {out.device_data + size_t{first} * out.columns, count, out.columns}, packed,
                  packed + kRowsMax * kInnerMax);
  };
  const uint32_t threads = crew_.threads();
  if (threads == 1 || uint64_t{out.size()} * inner < kCutFrom) return run(0, 0, out.rows);
  const uint32_t share = (out.rows + threads - 1) / threads;
  const uint32_t step = (share + kTileRows - 1) / kTileRows * kTileRows;
  crew_.run([&](uint32_t part) {
    const uint32_t first = std::min(part * step, out.rows);
    const uint32_t count = std::min(step, out.rows - first);
    if (count > 0) run(part, first, count);
  });
}

void Gemm::multiply(ConstMatrix a, ConstMatrix b, Matrix out) {
  BALLAST_CHECK(a.columns == b.rows && out.rows == a.rows && out.columns == b.columns);
  product({a.device_data, a.columns, 1}, {b.device_data, b.columns, 1}, a.columns, out);
}

void Gemm::multiply_at_b(ConstMatrix a, ConstMatrix b, Matrix out) {
  BALLAST_CHECK(a.rows == b.rows && out.rows == a.columns && out.columns == b.columns);
  product({a.device_data, 1, a.columns}, {b.device_data, b.columns, 1}, a.rows, out);
}

void Gemm::multiply_a_bt(ConstMatrix a, ConstMatrix b, Matrix out) {
  BALLAST_CHECK(a.columns == b.columns && out.rows == a.rows && out.columns == b.rows);
  product({a.device_data, a.columns, 1}, {b.device_data, 1, b.columns}, a.columns, out);
}

std::string Gemm::tiles() {
  return fmt::format("{} x {} tiles of {}-float vectors", kTileRows, kTileColumns, kVector);
}

}  // namespace ballast::cpu
