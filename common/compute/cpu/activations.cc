// y = act(z):
// relu     max(z, 0)                                            dz = y > 0 ? dy : 0
// tanh     tanh(z)                                              dz = dy * (1 - y^2)
// sigmoid  1 / (1 + e^-z)                                       dz = dy * y * (1 - y)
// gelu     z / 2 * (1 + tanh(u)), u = sqrt(2 / pi) * (z + 0.044715 z^3): the tanh form (Hendrycks
//          and Gimpel, 2016)
//          dz = dy * (1 + t + z * (1 - t^2) * u') / 2, t = tanh(u),
//          u' = sqrt(2 / pi) * (1 + 3 * 0.044715 z^2)
#include <cstring>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"
#include "common/compute/cpu/vector_math.h"
#include "common/compute/with_activation.h"

namespace ballast::cpu {
namespace {

[[gnu::always_inline]] inline float gelu_tanh(float z) {
  return hyperbolic_tangent(kGeluScale * (z + kGeluCube * (z * z * z)));
}

// act(z), and act'(z) from z or y: the one place where an activation is written.
template <Activation kActivation>
[[gnu::always_inline]] inline float value(float z) {
  if constexpr (kActivation == Activation::kNone) return z;
  if constexpr (kActivation == Activation::kRelu) return z < 0.0f ? 0.0f : z;  // keeps NaN
  if constexpr (kActivation == Activation::kTanh) return hyperbolic_tangent(z);
  if constexpr (kActivation == Activation::kSigmoid) return logistic(z);
  if constexpr (kActivation == Activation::kGelu) return 0.5f * z * (1.0f + gelu_tanh(z));
}

template <Activation kActivation>
[[gnu::always_inline]] inline float backward(float z_or_y, float dy) {
  const float y = z_or_y;
  if constexpr (kActivation == Activation::kNone) return dy;
  if constexpr (kActivation == Activation::kRelu) return y > 0.0f ? dy : 0.0f;
  if constexpr (kActivation == Activation::kTanh) return dy * (1.0f - y * y);
  if constexpr (kActivation == Activation::kSigmoid) return dy * (y * (1.0f - y));
  if constexpr (kActivation == Activation::kGelu) {
    const float z = z_or_y;
    const float t = gelu_tanh(z);
    const float slope = kGeluScale * (1.0f + 3.0f * kGeluCube * (z * z));
    return dy * (0.5f * (1.0f + t + z * (1.0f - t * t) * slope));
  }
}

template <Activation kActivation>
void forward_rows(ConstMatrix bias, Matrix z, Matrix y) {
  for (uint32_t r = 0; r < y.rows; ++r) {
    float* row = y.device_data + size_t{r} * y.columns;
    if (!bias.empty()) {
      const float* shift = bias.device_data;
      for (uint32_t c = 0; c < y.columns; ++c) row[c] += shift[c];
    }
    if (!z.empty()) {
      std::memcpy(z.device_data + size_t{r} * y.columns, row, y.columns * sizeof(float));
    }
    if constexpr (kActivation != Activation::kNone) {
      for (uint32_t c = 0; c < y.columns; ++c) row[c] = value<kActivation>(row[c]);
    }
  }
}

template <Activation kActivation>
void backward_all(const float* z_or_y, const float* dy, float* dz, size_t count) {
  BALLAST_INDEPENDENT_ITERATIONS
  for (size_t i = 0; i < count; ++i) dz[i] = backward<kActivation>(z_or_y[i], dy[i]);
}

}  // namespace

void bias_activation(ConstMatrix bias, Activation activation, Matrix z, Matrix y) {
  BALLAST_CHECK(bias.empty() || bias.columns == y.columns);
  BALLAST_CHECK(z.empty() || z.size() == y.size());
  with_activation(activation,
                  [&]<Activation kActivation>() { forward_rows<kActivation>(bias, z, y); });
}

void activation_backward(Activation activation, ConstMatrix z, ConstMatrix y, ConstMatrix dy,
                         Matrix dz) {
  const ConstMatrix source = needs_input(activation) ? z : y;
  BALLAST_CHECK(source.size() == dy.size() && dz.size() == dy.size());
  if (activation == Activation::kNone && dz.device_data == dy.device_data) return;
  with_activation(activation, [&]<Activation kActivation>() {
    backward_all<kActivation>(source.device_data, dy.device_data, dz.device_data, dz.size());
  });
}

void column_sums(ConstMatrix x, Matrix sums) {
  BALLAST_CHECK(sums.columns == x.columns);
  float* total = sums.device_data;
  std::memset(total, 0, x.columns * sizeof(float));
  for (uint32_t r = 0; r < x.rows; ++r) {
    const float* row = x.device_data + size_t{r} * x.columns;
    for (uint32_t c = 0; c < x.columns; ++c) total[c] += row[c];
  }
}

void add_to(ConstMatrix x, Matrix into) {
  BALLAST_CHECK(x.size() == into.size());
  const float* from = x.device_data;
  float* sum = into.device_data;
  BALLAST_INDEPENDENT_ITERATIONS
  for (size_t i = 0; i < x.size(); ++i) sum[i] += from[i];
}

}  // namespace ballast::cpu
