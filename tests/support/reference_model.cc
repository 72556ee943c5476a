#include "tests/support/reference_model.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/base/random.h"

namespace ballast::testing {
namespace {

using Row = std::vector<double>;

double activate(Activation activation, double z) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return std::max(z, 0.0);
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-z));
    case Activation::kGelu:
      return z / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
  }
  return 0;
}

Row dense(const LayerConfig& layer, const std::vector<Row>& weights, const Row& x) {
  Row y(layer.units);
  for (size_t out = 0; out < y.size(); ++out) {
    double z = layer.bias ? weights[1][out] : 0;
    for (size_t in = 0; in < x.size(); ++in) z += x[in] * weights[0][in * y.size() + out];
    y[out] = activate(layer.activation, z);
  }
  return y;
}

Row layer_norm(const LayerConfig& layer, const std::vector<Row>& weights, const Row& x) {
  const auto width = static_cast<double>(x.size());
  double mean = 0;
  for (double value : x) mean += value / width;
  double variance = 0;
  for (double value : x) variance += (value - mean) * (value - mean) / width;
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y[i] = (x[i] - mean) / std::sqrt(variance + layer.epsilon) * weights[0][i] + weights[1][i];
  }
  return y;
}

Row dropout(const ReferenceCase& c, const LayerConfig& layer, uint32_t index, uint32_t row, Row x) {
  if (!c.training) return x;
  const uint64_t row_key = hash_numbers({c.seed, c.clock, c.lane, index, row});
  for (size_t i = 0; i < x.size(); ++i) {
    const uint64_t bits = mix64(row_key ^ (i / 2));
    const uint64_t mine = i % 2 == 0 ? bits & 0xffffffffu : bits >> 32;
    x[i] = static_cast<double>(mine) >= layer.rate * 0x1.0p32 ? x[i] / (1 - layer.rate) : 0;
  }
  return x;
}

Row outputs_of_row(const ReferenceCase& c, uint32_t row) {
  Row x(c.features.begin() + row * c.input_width, c.features.begin() + (row + 1) * c.input_width);
  size_t parameter = 0;
  for (uint32_t index = 0; index < c.model.layers.size(); ++index) {
    const LayerConfig& layer = c.model.layers[index];
    std::vector<Row> weights;
    if (layer.kind != LayerKind::kDropout) {
      weights.push_back(c.parameters[parameter++]);
      const bool two = layer.kind == LayerKind::kLayerNorm || layer.bias;
      if (two) weights.push_back(c.parameters[parameter++]);
    }
    if (layer.kind == LayerKind::kDense) x = dense(layer, weights, x);
    if (layer.kind == LayerKind::kLayerNorm) x = layer_norm(layer, weights, x);
    if (layer.kind == LayerKind::kDropout) x = dropout(c, layer, index, row, x);
  }
  return x;
}

double loss_of_row(LossKind loss, const Row& z, const float* labels) {
  const auto width = static_cast<double>(z.size());
  double sum = 0;
  switch (loss) {
    case LossKind::kSoftmaxCrossEntropy:
      for (double value : z) sum += std::exp(value);
      return std::log(sum) - z[static_cast<size_t>(labels[0])];
    case LossKind::kSigmoidCrossEntropy:
      for (size_t i = 0; i < z.size(); ++i) {
        const double p = 1 / (1 + std::exp(-z[i]));
        sum -= labels[i] * std::log(p) + (1 - labels[i]) * std::log(1 - p);
      }
      return sum / width;
    case LossKind::kMeanSquaredError:
      for (size_t i = 0; i < z.size(); ++i) sum += (z[i] - labels[i]) * (z[i] - labels[i]);
      return sum / width;
  }
  return 0;
}

}  // namespace

std::vector<double> reference_outputs(const ReferenceCase& c) {
  std::vector<double> outputs;
  for (uint32_t row = 0; row < c.rows; ++row) {
    const Row z = outputs_of_row(c, row);
    outputs.insert(outputs.end(), z.begin(), z.end());
  }
  return outputs;
}

double reference_loss(const ReferenceCase& c) {
  const size_t label_width = c.labels.size() / c.rows;
  double sum = 0;
  for (uint32_t row = 0; row < c.rows; ++row) {
    const double weight = c.weights.empty() ? 1 : c.weights[row];
    sum += weight *
           loss_of_row(c.model.loss, outputs_of_row(c, row), c.labels.data() + row * label_width);
  }
  return sum;
}

double reference_derivative(ReferenceCase& c, size_t parameter, size_t element) {
  constexpr double kStep = 1e-5;
  double& value = c.parameters[parameter][element];
  const double before = value;
  value = before + kStep;
  const double above = reference_loss(c);
  value = before - kStep;
  const double below = reference_loss(c);
  value = before;
  return (above - below) / (2 * kStep);
}

}  // namespace ballast::testing
