// Exponential and hyperbolic tangent as plain float arithmetic, so that loops over them become
// vector code and an element has the same bits in a vector body and in a tail. Polynomials from
// Cephes (Moshier, 1989: expf.c, tanhf.c). NaN in, NaN out. Pure.
#pragma once

#include <bit>
#include <cstdint>

namespace ballast::cpu {

// Within 2 units in the last place on [-87.3, 88.3]; held at the ends of that range outside of it.
[[gnu::always_inline]] inline float exponential(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = 88.3f < x ? 88.3f : x;
  // Adding 1.5 * 2^23 rounds to a whole number, which is then in the low bits.
  constexpr float kRound = 12582912.0f;
  const float shifted = x * 1.44269504088896341f + kRound;
  const float whole = shifted - kRound;
  const float r = x - whole * 0.693359375f - whole * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float fraction = p * (r * r) + r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound);
  return fraction * std::bit_cast<float>((exponent + 127u) << 23);
}

// 1 / (1 + e^-x)
[[gnu::always_inline]] inline float logistic(float x) {
  return 1.0f / (1.0f + exponential(-x));
}

// Within 3 units in the last place.
[[gnu::always_inline]] inline float hyperbolic_tangent(float x) {
  const float magnitude = x < 0 ? -x : x;
  const float square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  const float near_zero = p * square * x + x;
  const float far = 1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f);
  const float far_signed = x < 0 ? -far : far;
  return magnitude < 0.625f ? near_zero : far_signed;
}

}  // namespace ballast::cpu
