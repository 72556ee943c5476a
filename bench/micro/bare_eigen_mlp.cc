#include "bench/micro/bare_eigen_mlp.h"

#include <Eigen/Core>
#include <cmath>

namespace ballast::bench {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Row = Eigen::Matrix<float, 1, Eigen::Dynamic>;

// Eigen's blocking follows these process-wide numbers.
struct CacheSizes {
  std::ptrdiff_t first, second, third;

  static CacheSizes now() {
    return {Eigen::l1CacheSize(), Eigen::l2CacheSize(), Eigen::l3CacheSize()};
  }
  static CacheSizes detected() {
    int first = 0, second = 0, third = 0;
    Eigen::internal::queryCacheSizes(first, second, third);
    return {first, second, third};
  }
  void use() const { Eigen::setCpuCacheSizes(first, second, third); }
};

}  // namespace

struct BareEigenMlp::Parts {
  struct Layer {
    Matrix w, dw, y, dy;
    Row b, db;
  };
  std::vector<Layer> layers;
  CacheSizes detected = CacheSizes::detected();
};

BareEigenMlp::BareEigenMlp(const std::vector<uint32_t>& widths, uint32_t rows)
    : parts_(std::make_unique<Parts>()) {
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    Parts::Layer layer;
    layer.w = layer.dw = Matrix::Zero(widths[l], widths[l + 1]);
    layer.b = layer.db = Row::Zero(widths[l + 1]);
    layer.y = layer.dy = Matrix::Zero(rows, widths[l + 1]);
    parts_->layers.push_back(std::move(layer));
  }
}

BareEigenMlp::~BareEigenMlp() = default;
BareEigenMlp::BareEigenMlp(BareEigenMlp&&) noexcept = default;

void BareEigenMlp::set(uint32_t layer, std::span<const float> weight, std::span<const float> bias) {
  Parts::Layer& l = parts_->layers[layer];
  std::copy(weight.begin(), weight.end(), l.w.data());
  std::copy(bias.begin(), bias.end(), l.b.data());
}

double BareEigenMlp::step(std::span<const float> features, std::span<const float> labels,
                          float learning_rate) {
  const CacheSizes before = CacheSizes::now();
  parts_->detected.use();
  std::vector<Parts::Layer>& layers = parts_->layers;
  const Eigen::Index rows = layers[0].y.rows();
  const Eigen::Map<const Matrix> x(features.data(), rows, layers[0].w.rows());

  for (size_t l = 0; l < layers.size(); ++l) {
    if (l == 0) {
      layers[l].y.noalias() = x * layers[l].w;
    } else {
      layers[l].y.noalias() = layers[l - 1].y * layers[l].w;
    }
    layers[l].y.rowwise() += layers[l].b;
    if (l + 1 < layers.size()) layers[l].y = layers[l].y.cwiseMax(0.0f);
  }

  Parts::Layer& last = layers.back();
  double loss = 0;
  for (Eigen::Index r = 0; r < rows; ++r) {
    const float largest = last.y.row(r).maxCoeff();
    last.dy.row(r) = (last.y.row(r).array() - largest).exp();
    const float sum = last.dy.row(r).sum();
    const auto label = static_cast<Eigen::Index>(labels[r]);
    loss += std::log(sum) + largest - last.y(r, label);
    last.dy.row(r) /= sum;
    last.dy(r, label) -= 1;
  }

  const float rate = learning_rate / static_cast<float>(rows);
  for (size_t l = layers.size(); l-- > 0;) {
    Parts::Layer& layer = layers[l];
    if (l + 1 < layers.size()) {
      layer.dy = (layer.y.array() > 0.0f).select(layer.dy, 0.0f);
    }
    if (l == 0) {
      layer.dw.noalias() = x.transpose() * layer.dy;
    } else {
      layer.dw.noalias() = layers[l - 1].y.transpose() * layer.dy;
    }
    layer.db = layer.dy.colwise().sum();
    if (l > 0) layers[l - 1].dy.noalias() = layer.dy * layer.w.transpose();
    layer.w -= rate * layer.dw;
    layer.b -= rate * layer.db;
  }
  before.use();
  return loss;
}

}  // namespace ballast::bench
