#include "tests/support/plain_model.h"

#include <cmath>
#include <numeric>

#include "common/base/check.h"
#include "common/base/random.h"

namespace ballast::testing {
namespace {

using Floats = std::vector<float>;

// Element i of tensor number `index`.
float first_weight(uint64_t seed, uint64_t index, uint64_t i, double limit) {
  return static_cast<float>((2 * unit_double(hash_numbers({seed, index, i})) - 1) * limit);
}

std::vector<PlainTensor> first_tensors(const JobConfig& job) {
  std::vector<PlainTensor> tensors;
  uint64_t width = job.resolved.input_width;
  for (size_t l = 0; l < job.model.layers.size(); ++l) {
    const LayerConfig& layer = job.model.layers[l];
    if (layer.kind == LayerKind::kDropout) continue;
    BALLAST_CHECK_MSG(layer.kind == LayerKind::kDense, "the plain loop knows dense and dropout");
    const bool rectifies =
        layer.activation == Activation::kRelu || layer.activation == Activation::kGelu;
    const double limit =
        std::sqrt(6.0 / static_cast<double>(rectifies ? width : width + layer.units));
    const std::string prefix = "layer" + std::to_string(l) + ".";
    Floats values(width * layer.units);
    for (uint64_t i = 0; i < values.size(); ++i) {
      values[i] = first_weight(job.seed, tensors.size(), i, limit);
    }
    tensors.push_back({prefix + "weight", {width, layer.units}, std::move(values)});
    if (layer.bias) tensors.push_back({prefix + "bias", {layer.units}, Floats(layer.units)});
    width = layer.units;
  }
  return tensors;
}

}  // namespace

PlainModel::PlainModel(const JobConfig& job)
    : tensors(first_tensors(job)),
      job_(job),
      backend_(make_backend(Device::kCpu, {.threads = job.cluster.threads_per_worker}).value()),
      stream_(backend_->create_stream()) {}

PlainGradient PlainModel::gradient(const Floats& features, const Floats& labels,
                                   const Floats& weights, uint64_t step, uint32_t lane) {
  memory_.clear();
  step_ = step;
  lane_ = lane;
  PlainGradient result{.tensors = std::vector<Floats>(tensors.size()),
                       .rows = features.size() / job_.resolved.input_width};
  std::vector<Pass> passes;
  const Matrix outputs = forward(on_device(features, result.rows), passes);
  const Matrix dy = loss(outputs, on_device(labels, result.rows), weights, result);
  backward(passes, dy, result);
  return result;
}

Matrix PlainModel::forward(Matrix x, std::vector<Pass>& passes) {
  size_t p = 0;
  for (uint32_t l = 0; l < job_.model.layers.size(); ++l) {
    const LayerConfig& layer = job_.model.layers[l];
    Pass pass;
    pass.x = x;
    if (layer.kind == LayerKind::kDropout) {
      pass.y = matrix(x.rows, x.columns);
      backend_->dropout(stream_, x, layer.rate, dropout_key(l), pass.y);
    } else {
      pass.y = matrix(x.rows, layer.units);
      if (needs_input(layer.activation)) pass.z = matrix(x.rows, layer.units);
      pass.weight = on_device(tensors[p++].values, x.columns);
      const Matrix bias = layer.bias ? on_device(tensors[p++].values, 1) : Matrix();
      backend_->dense_forward(stream_, x, pass.weight, bias, layer.activation, pass.z, pass.y);
    }
    passes.push_back(pass);
    x = pass.y;
  }
  return x;
}

// The derivative of the weighted sum of row losses by the outputs.
Matrix PlainModel::loss(Matrix outputs, Matrix labels, const Floats& weights,
                        PlainGradient& result) {
  const Matrix dy = matrix(outputs.rows, outputs.columns);
  const Matrix row_loss = matrix(1, outputs.rows);
  const Matrix row_correct = matrix(1, outputs.rows);
  backend_->loss(stream_, job_.model.loss, outputs, labels, on_device(weights, 1), row_loss,
                 row_correct, dy);
  const Floats losses = on_host(row_loss);
  result.loss_sum = std::inner_product(losses.begin(), losses.end(), weights.begin(), 0.0);
  result.weight_sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  return dy;
}

void PlainModel::backward(const std::vector<Pass>& passes, Matrix dy, PlainGradient& result) {
  size_t p = tensors.size();
  for (auto l = static_cast<uint32_t>(passes.size()); p > 0 && l-- > 0;) {
    const LayerConfig& layer = job_.model.layers[l];
    const Pass& pass = passes[l];
    if (layer.kind == LayerKind::kDropout) {
      backend_->dropout(stream_, dy, layer.rate, dropout_key(l), dy);
      continue;
    }
    backend_->activation_backward(stream_, layer.activation, pass.z, pass.y, dy, dy);
    const Matrix dweight = matrix(pass.weight.rows, pass.weight.columns);
    const Matrix dbias = layer.bias ? matrix(1, layer.units) : Matrix();
    backend_->dense_gradient(stream_, pass.x, dy, dweight, dbias);
    if (layer.bias) result.tensors[--p] = on_host(dbias);
    result.tensors[--p] = on_host(dweight);
    const Matrix dx = matrix(pass.x.rows, pass.x.columns);
    backend_->dense_input_gradient(stream_, dy, pass.weight, dx);
    dy = dx;
  }
}

DropoutKey PlainModel::dropout_key(uint32_t layer) const {
  return {.seed = job_.seed, .batch = step_, .lane = lane_, .layer = layer};
}

Matrix PlainModel::matrix(uint32_t rows, uint32_t columns) {
  memory_.push_back(backend_->allocate(size_t{rows} * columns).value());
  return memory_.back().matrix(rows, columns);
}

Matrix PlainModel::on_device(const Floats& values, uint64_t rows) {
  const Matrix to =
      matrix(static_cast<uint32_t>(rows), static_cast<uint32_t>(values.size() / rows));
  backend_->upload(stream_, values, to);
  return to;
}

Floats PlainModel::on_host(Matrix from) {
  Floats values(from.size());
  backend_->download(stream_, from, values);
  const Status status = backend_->synchronize(stream_);
  BALLAST_CHECK_MSG(status.ok(), status.to_string());
  return values;
}

}  // namespace ballast::testing
