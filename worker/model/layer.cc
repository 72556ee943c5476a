#include "worker/model/layer.h"

#include <fmt/format.h>

#include "common/base/check.h"

namespace ballast {
namespace {

// y = act(x w + bias). weights: w[in, out], then bias[1, out] if it has one.
class DenseLayer final : public Layer {
 public:
  static Result<std::unique_ptr<Layer>> create(const LayerConfig& config, uint32_t rows_max,
                                               Backend& backend) {
    const size_t floats = size_t{rows_max} * config.units;
    BALLAST_ASSIGN(auto y, backend.allocate(floats));
    BALLAST_ASSIGN(auto z, backend.allocate(needs_input(config.activation) ? floats : 0));
    return std::unique_ptr<Layer>(new DenseLayer(config, backend, std::move(y), std::move(z)));
  }

  ConstMatrix forward(const Pass& pass, std::span<const Matrix> weights, ConstMatrix x) override {
    BALLAST_CHECK(weights.size() == (bias_ ? 2u : 1u));
    x_ = x;
    y_ = y_memory_.matrix(pass.rows, units_);
    z_ = needs_input(activation_) ? z_memory_.matrix(pass.rows, units_) : Matrix();
    backend_.dense_forward(pass.stream, x, weights[0], bias_ ? weights[1] : Matrix(), activation_,
                           z_, y_);
    return y_;
  }

  // dy becomes dz, the derivative before the activation.
  void gradients(const Pass& pass, Matrix dy, std::span<const Matrix> out) override {
    backend_.activation_backward(pass.stream, activation_, z_, y_, dy, dy);
    backend_.dense_gradient(pass.stream, x_, dy, out[0], bias_ ? out[1] : Matrix());
  }

  void input_gradient(const Pass& pass, std::span<const Matrix> weights, Matrix dy,
                      Matrix dx) override {
    backend_.dense_input_gradient(pass.stream, dy, weights[0], dx);
  }

 private:
  DenseLayer(const LayerConfig& config, Backend& backend, DeviceBuffer y, DeviceBuffer z)
      : backend_(backend),
        units_(config.units),
        activation_(config.activation),
        bias_(config.bias),
        y_memory_(std::move(y)),
        z_memory_(std::move(z)) {}

  Backend& backend_;
  const uint32_t units_;
  const Activation activation_;
  const bool bias_;
  DeviceBuffer y_memory_;  // [rows_max, units]
  DeviceBuffer z_memory_;  // the same, or none
  ConstMatrix x_;          // of the last forward
  Matrix y_;
  Matrix z_;
};

// Passes x through when not training.
class DropoutLayer final : public Layer {
 public:
  static Result<std::unique_ptr<Layer>> create(const LayerConfig& config, uint32_t index,
                                               uint32_t width, uint32_t rows_max,
                                               Backend& backend) {
    BALLAST_ASSIGN(auto y, backend.allocate(size_t{rows_max} * width));
    return std::unique_ptr<Layer>(
        new DropoutLayer(config.rate, index, width, backend, std::move(y)));
  }

  ConstMatrix forward(const Pass& pass, std::span<const Matrix> /*weights*/,
                      ConstMatrix x) override {
    if (!pass.training) return x;
    const Matrix y = y_memory_.matrix(pass.rows, width_);
    backend_.dropout(pass.stream, x, rate_, key(pass), y);
    return y;
  }

  void gradients(const Pass& /*pass*/, Matrix /*dy*/, std::span<const Matrix> /*out*/) override {}

  void input_gradient(const Pass& pass, std::span<const Matrix> /*weights*/, Matrix dy,
                      Matrix dx) override {
    backend_.dropout(pass.stream, dy, rate_, key(pass), dx);
  }

 private:
  DropoutLayer(double rate, uint32_t index, uint32_t width, Backend& backend, DeviceBuffer y)
      : backend_(backend), rate_(rate), index_(index), width_(width), y_memory_(std::move(y)) {}

  [[nodiscard]] DropoutKey key(const Pass& pass) const {
    return {pass.seed, pass.batch, pass.lane.value(), index_};
  }

  Backend& backend_;
  const double rate_;
  const uint32_t index_;
  const uint32_t width_;
  DeviceBuffer y_memory_;  // [rows_max, width]
};

// weights: gain[1, width], bias[1, width].
class LayerNormLayer final : public Layer {
 public:
  static Result<std::unique_ptr<Layer>> create(const LayerConfig& config, uint32_t width,
                                               uint32_t rows_max, Backend& backend) {
    BALLAST_ASSIGN(auto y, backend.allocate(size_t{rows_max} * width));
    BALLAST_ASSIGN(auto mean, backend.allocate(rows_max));
    BALLAST_ASSIGN(auto inverse_std, backend.allocate(rows_max));
    return std::unique_ptr<Layer>(new LayerNormLayer(config.epsilon, width, backend, std::move(y),
                                                     std::move(mean), std::move(inverse_std)));
  }

  ConstMatrix forward(const Pass& pass, std::span<const Matrix> weights, ConstMatrix x) override {
    BALLAST_CHECK(weights.size() == 2);
    x_ = x;
    gain_ = weights[0];
    mean_ = mean_memory_.matrix(1, pass.rows);
    inverse_std_ = inverse_std_memory_.matrix(1, pass.rows);
    const Matrix y = y_memory_.matrix(pass.rows, width_);
    backend_.layer_norm_forward(pass.stream, x, weights[0], weights[1], epsilon_, mean_,
                                inverse_std_, y);
    return y;
  }

  void gradients(const Pass& pass, Matrix dy, std::span<const Matrix> out) override {
    backend_.layer_norm_backward(pass.stream, x_, gain_, mean_, inverse_std_, dy, out[0], out[1],
                                 Matrix());
  }

  void input_gradient(const Pass& pass, std::span<const Matrix> /*weights*/, Matrix dy,
                      Matrix dx) override {
    backend_.layer_norm_backward(pass.stream, x_, gain_, mean_, inverse_std_, dy, Matrix(),
                                 Matrix(), dx);
  }

 private:
  LayerNormLayer(double epsilon, uint32_t width, Backend& backend, DeviceBuffer y,
                 DeviceBuffer mean, DeviceBuffer inverse_std)
      : backend_(backend),
        epsilon_(epsilon),
        width_(width),
        y_memory_(std::move(y)),
        mean_memory_(std::move(mean)),
        inverse_std_memory_(std::move(inverse_std)) {}

  Backend& backend_;
  const double epsilon_;
  const uint32_t width_;
  DeviceBuffer y_memory_;            // [rows_max, width]
  DeviceBuffer mean_memory_;         // [rows_max]
  DeviceBuffer inverse_std_memory_;  // [rows_max]
  ConstMatrix x_;                    // of the last forward
  ConstMatrix gain_;
  Matrix mean_;
  Matrix inverse_std_;
};

}  // namespace

Result<std::unique_ptr<Layer>> make_layer(const LayerConfig& config, uint32_t index,
                                          uint32_t input_width, uint32_t rows_max,
                                          Backend& backend) {
  switch (config.kind) {
    case LayerKind::kDense:
      return DenseLayer::create(config, rows_max, backend);
    case LayerKind::kDropout:
      return DropoutLayer::create(config, index, input_width, rows_max, backend);
    case LayerKind::kLayerNorm:
      return LayerNormLayer::create(config, input_width, rows_max, backend);
  }
  BALLAST_CHECK_MSG(false, "no such layer");
}

}  // namespace ballast
