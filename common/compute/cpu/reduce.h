// Sums and maxima over a run of floats, as vector code in a fixed order: sixteen partial results,
// joined pairwise. The order depends on the length only. Pure.
#pragma once

#include <array>
#include <cstddef>

namespace ballast::cpu {

inline constexpr size_t kPartials = 16;

// join(join(...)) over value(0) .. value(count - 1), starting each partial at `start`.
template <typename Value, typename Join>
[[gnu::always_inline]] inline float reduce(size_t count, float start, Value value, Join join) {
  std::array<float, kPartials> partial;
  partial.fill(start);
  size_t i = 0;
  for (; i + kPartials <= count; i += kPartials) {
    for (size_t j = 0; j < kPartials; ++j) partial[j] = join(partial[j], value(i + j));
  }
  for (size_t j = 0; i + j < count; ++j) partial[j] = join(partial[j], value(i + j));
  for (size_t half = kPartials / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) partial[j] = join(partial[j], partial[j + half]);
  }
  return partial[0];
}

template <typename Value>
[[gnu::always_inline]] inline float sum(size_t count, Value value) {
  return reduce(count, 0.0f, value, [](float a, float b) { return a + b; });
}

}  // namespace ballast::cpu
