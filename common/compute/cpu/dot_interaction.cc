#include <algorithm>
#include <array>
#include <cstring>

#include "common/compute/cpu/kernels.h"
#include "common/compute/cpu/reduce.h"
#include "common/compute/table_operands.h"

namespace ballast::cpu {
namespace {

template <size_t kFloats>
using Floats [[gnu::vector_size(kFloats * sizeof(float))]] = float;
using Partials = Floats<kPartials>;
static_assert(kPartials == 16);

// In the order of reduce.h.
[[gnu::always_inline]] inline float joined(const Partials& p) {
  const Floats<8> eight = __builtin_shufflevector(p, p, 0, 1, 2, 3, 4, 5, 6, 7) +
                          __builtin_shufflevector(p, p, 8, 9, 10, 11, 12, 13, 14, 15);
  const Floats<4> four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
                         __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// sum += a * b of the first `count` floats. (Vectors are handed over by reference: without AVX-512
// they are wider than those of a call.)
[[gnu::always_inline]] inline void add_products(const float* a, const float* b, size_t count,
                                                Partials& sum) {
  Partials of_a{}, of_b{};
  std::memcpy(&of_a, a, count * sizeof(float));
  std::memcpy(&of_b, b, count * sizeof(float));
  sum += of_a * of_b;
}

// y[k] = the dot product of a and vector k of b[kCount, d]: several at a time, because one sum
// alone waits for itself. The order of a sum is that of reduce.h, whatever kCount is.
template <size_t kCount>
void dots(const float* a, const float* b, size_t d, float* y) {
  Partials partial[kCount] = {};
  size_t c = 0;
  for (; c + kPartials <= d; c += kPartials) {
    for (size_t k = 0; k < kCount; ++k) add_products(a + c, b + k * d + c, kPartials, partial[k]);
  }
  for (size_t k = 0; k < kCount; ++k) {
    if (c < d) add_products(a + c, b + k * d + c, d - c, partial[k]);
    y[k] = joined(partial[k]);
  }
}

// sums[c] = the sum over all j but i of dy of the pair * x[j, c], for kCount columns from x and
// sums on: few enough to stay in registers.
template <size_t kCount>
void weighted_sum(const float* x, size_t d, uint32_t vectors, uint32_t i, const float* dy,
                  float* sums) {
  std::array<float, kCount> total{};
  for (uint32_t j = 0; j < vectors; ++j) {
    if (j == i) continue;
    const float weight = dy[pair_at(i, j)];
    for (size_t c = 0; c < kCount; ++c) total[c] += weight * x[j * d + c];
  }
  std::ranges::copy(total, sums);
}

}  // namespace

void dot_interaction_forward(ConstMatrix x, uint32_t vectors, Matrix y) {
  check_dot_interaction(x, vectors, y);
  const size_t d = x.columns / vectors;
  for (uint32_t r = 0; r < x.rows; ++r) {
    const float* row = x.device_data + size_t{r} * x.columns;
    float* out = y.device_data + size_t{r} * y.columns;
    for (uint32_t i = 1; i < vectors; ++i) {
      uint32_t j = 0;
      for (; j + 4 <= i; j += 4, out += 4) dots<4>(row + i * d, row + j * d, d, out);
      for (; j < i; ++j, ++out) dots<1>(row + i * d, row + j * d, d, out);
    }
  }
}

void dot_interaction_backward(ConstMatrix x, uint32_t vectors, ConstMatrix dy, Matrix dx) {
  check_dot_interaction(x, vectors, dy);
  BALLAST_CHECK(dx.rows == x.rows && dx.columns == x.columns);
  const size_t d = x.columns / vectors;
  for (uint32_t r = 0; r < x.rows; ++r) {
    const float* row = x.device_data + size_t{r} * x.columns;
    const float* grad = dy.device_data + size_t{r} * dy.columns;
    float* out = dx.device_data + size_t{r} * dx.columns;
    for (uint32_t i = 0; i < vectors; ++i) {
      size_t c = 0;
      for (; c + 64 <= d; c += 64) weighted_sum<64>(row + c, d, vectors, i, grad, out + i * d + c);
      for (; c + 16 <= d; c += 16) weighted_sum<16>(row + c, d, vectors, i, grad, out + i * d + c);
      for (; c < d; ++c) weighted_sum<1>(row + c, d, vectors, i, grad, out + i * d + c);
    }
  }
}

}  // namespace ballast::cpu
