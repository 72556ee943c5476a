// Equations in backend.h. With p = softmax(z) or sigmoid(z), d the number of columns:
// softmax cross-entropy  dz = p - onehot(label)
// sigmoid cross-entropy  loss = mean(max(z, 0) - label * z + log(1 + e^-|z|))
//                        dz = (p - label) / d
// mean squared error     dz = 2 (z - label) / d
#include <bit>
#include <cmath>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"
#include "common/compute/cpu/reduce.h"
#include "common/compute/cpu/vector_math.h"

namespace ballast::cpu {
namespace {

struct RowResult {
  float loss;
  float correct;
};

float largest_of(const float* z, uint32_t count) {
  return reduce(
      count, z[0], [&](size_t c) { return z[c]; }, [](float a, float b) { return a < b ? b : a; });
}

// y = e^(z - largest); returns the sum. y may be z.
float exponentials(const float* z, float largest, float* y, uint32_t count) {
  BALLAST_INDEPENDENT_ITERATIONS
  for (uint32_t c = 0; c < count; ++c) y[c] = exponential(z[c] - largest);
  return sum(count, [&](size_t c) { return y[c]; });
}

float sum_of_exponentials(const float* z, float largest, uint32_t count) {
  return sum(count, [&](size_t c) { return exponential(z[c] - largest); });
}

// dz may be null (evaluation) or z.
RowResult softmax_row(const float* z, const float* labels, float* dz, uint32_t units) {
  const auto label = static_cast<uint32_t>(labels[0]);
  BALLAST_CHECK(label < units);
  const float largest = largest_of(z, units);
  const float found = z[label];
  uint32_t best = 0;
  while (best < units && z[best] != largest) ++best;  // a row of NaN has no best
  const float total =
      dz == nullptr ? sum_of_exponentials(z, largest, units) : exponentials(z, largest, dz, units);
  if (dz != nullptr) {
    const float scale = 1.0f / total;
    for (uint32_t c = 0; c < units; ++c) dz[c] *= scale;
    dz[label] -= 1.0f;
  }
  return {std::log(total) + (largest - found), best == label ? 1.0f : 0.0f};
}

RowResult sigmoid_row(const float* z, const float* labels, float* dz, uint32_t units) {
  const float share = 1.0f / static_cast<float>(units);
  RowResult result{0, 0};
  for (uint32_t c = 0; c < units; ++c) {
    const float value = z[c];
    const float label = labels[c];
    result.loss +=
        (value > 0 ? value : 0.0f) - label * value + std::log1p(std::exp(-std::abs(value)));
    result.correct += (value > 0) == (label > 0.5f) ? 1.0f : 0.0f;
    if (dz != nullptr) dz[c] = (logistic(value) - label) * share;
  }
  result.loss *= share;
  return result;
}

RowResult squared_row(const float* z, const float* labels, float* dz, uint32_t units) {
  const float share = 1.0f / static_cast<float>(units);
  RowResult result{0, 0};
  for (uint32_t c = 0; c < units; ++c) {
    const float distance = z[c] - labels[c];
    result.loss += distance * distance;
    if (dz != nullptr) dz[c] = 2.0f * share * distance;
  }
  result.loss *= share;
  return result;
}

// 0, not 0 * dz, which is NaN where dz is not finite.
void weigh(float* dz, uint32_t units, float weight) {
  for (uint32_t c = 0; c < units; ++c) dz[c] = weight == 0 ? 0 : dz[c] * weight;
}

RowResult loss_row(LossKind kind, const float* z, const float* labels, float* dz, uint32_t units) {
  switch (kind) {
    case LossKind::kSoftmaxCrossEntropy:
      return softmax_row(z, labels, dz, units);
    case LossKind::kSigmoidCrossEntropy:
      return sigmoid_row(z, labels, dz, units);
    case LossKind::kMeanSquaredError:
      return squared_row(z, labels, dz, units);
  }
  BALLAST_CHECK_MSG(false, "no such loss");
}

}  // namespace

void loss(LossKind kind, ConstMatrix z, ConstMatrix labels, ConstMatrix weights, Matrix row_loss,
          Matrix row_correct, Matrix dz) {
  const uint32_t label_width = kind == LossKind::kSoftmaxCrossEntropy ? 1 : z.columns;
  BALLAST_CHECK(labels.rows == z.rows && labels.columns == label_width);
  BALLAST_CHECK(row_loss.columns == z.rows && row_correct.columns == z.rows);
  BALLAST_CHECK(weights.empty() || weights.size() == z.rows);
  BALLAST_CHECK(dz.empty() || dz.size() == z.size());
  for (uint32_t r = 0; r < z.rows; ++r) {
    const size_t start = size_t{r} * z.columns;
    const RowResult result =
        loss_row(kind, z.device_data + start, labels.device_data + size_t{r} * label_width,
                 dz.empty() ? nullptr : dz.device_data + start, z.columns);
    row_loss.device_data[r] = result.loss;
    row_correct.device_data[r] = result.correct;
    if (!dz.empty() && !weights.empty()) {
      weigh(dz.device_data + start, z.columns, weights.device_data[r]);
    }
  }
}

void predict(LossKind kind, ConstMatrix z, Matrix y) {
  BALLAST_CHECK(y.size() == z.size());
  for (uint32_t r = 0; r < z.rows; ++r) {
    const float* in = z.device_data + size_t{r} * z.columns;
    float* out = y.device_data + size_t{r} * z.columns;
    if (kind == LossKind::kSoftmaxCrossEntropy) {
      const float scale = 1.0f / exponentials(in, largest_of(in, z.columns), out, z.columns);
      for (uint32_t c = 0; c < z.columns; ++c) out[c] *= scale;
    } else {
      const bool logistic_output = kind == LossKind::kSigmoidCrossEntropy;
      for (uint32_t c = 0; c < z.columns; ++c) out[c] = logistic_output ? logistic(in[c]) : in[c];
    }
  }
}

bool has_non_finite(ConstMatrix values) {
  // As integers without the sign: every infinity or NaN is at least the pattern of infinity.
  constexpr uint32_t kInfinity = 0x7f800000u;
  uint32_t largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t magnitude = std::bit_cast<uint32_t>(values.device_data[i]) & 0x7fffffffu;
    largest = largest < magnitude ? magnitude : largest;
  }
  return largest >= kInfinity;
}

}  // namespace ballast::cpu
