#include "worker/model/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"

namespace ballast {

Result<std::unique_ptr<Model>> Model::create(const ModelConfig& config, uint32_t input_width,
                                             uint32_t rows_max, Backend& backend) {
  std::unique_ptr<Model> model(new Model(backend));
  model->parameters_ = parameters_of(config, input_width);
  uint32_t width = input_width;
  uint32_t parameter = 0;
  for (uint32_t index = 0; index < config.layers.size(); ++index) {
    auto layer = make_layer(config.layers[index], index, width, rows_max, backend);
    if (!layer.ok()) return layer.status().because(fmt::format("while making layer {}", index));
    model->layers_.push_back(std::move(layer).value());
    model->input_widths_.push_back(width);
    if (config.layers[index].kind == LayerKind::kDense) width = config.layers[index].units;
    Range range{parameter, parameter};
    while (range.last < model->parameters_.size() &&
           model->parameters_[range.last].layer == index) {
      ++range.last;
    }
    model->ranges_.push_back(range);
    parameter = range.last;
  }
  BALLAST_CHECK(parameter == model->parameters_.size());
  model->output_width_ = width;
  for (uint32_t p = 0; p < parameter; ++p) BALLAST_RETURN_IF_ERROR(model->add_weights(p));
  return model;
}

Status Model::add_weights(uint32_t parameter) {
  const ParameterSpec& spec = parameters_[parameter];
  Weights weights;
  weights.host = backend_.allocate_host(spec.element_count() * sizeof(float));
  float* address = backend_.device_address(weights.host.floats().data());
  if (address == nullptr) {
    auto memory = backend_.allocate(spec.element_count());
    if (!memory.ok()) return memory.status().because(fmt::format("while making {}", spec.name));
    weights.device_memory = std::move(memory).value();
    address = weights.device_memory.matrix(1, static_cast<uint32_t>(spec.shape[0])).device_data;
  }
  weights.device = shaped(parameter, address);
  device_weights_.push_back(weights.device);
  weights_.push_back(std::move(weights));
  return Status();
}

Matrix Model::shaped(uint32_t parameter, float* device_data) const {
  const std::vector<uint64_t>& shape = parameters_[parameter].shape;
  if (shape.size() == 1) return {device_data, 1, static_cast<uint32_t>(shape[0])};
  BALLAST_CHECK(shape.size() == 2);
  return {device_data, static_cast<uint32_t>(shape[0]), static_cast<uint32_t>(shape[1])};
}

std::span<float> Model::host_weights(uint32_t parameter) {
  BALLAST_CHECK(parameter < weights_.size());
  weights_[parameter].stale = true;
  return weights_[parameter].host.floats();
}

Model::WeightsPart Model::weights_part(uint32_t parameter, size_t first, size_t count) {
  Weights& weights = weights_.at(parameter);
  BALLAST_CHECK(first <= weights.device.size() && count <= weights.device.size() - first);
  return {weights.host.floats().subspan(first, count),
          {weights.device.device_data + first, 1, static_cast<uint32_t>(count)}};
}

bool Model::is_stale(uint32_t layer) const {
  const Range range = ranges_[layer];
  const auto weights = std::span(weights_).subspan(range.first, range.last - range.first);
  return std::ranges::any_of(weights, &Weights::stale);
}

void Model::refresh(uint32_t layer, StreamId stream) {
  for (uint32_t p = ranges_[layer].first; p < ranges_[layer].last; ++p) {
    Weights& weights = weights_[p];
    const bool copies = weights.device_memory.floats() > 0;
    if (weights.stale && copies) backend_.upload(stream, weights.host.floats(), weights.device);
    weights.stale = false;
  }
}

std::span<const Matrix> Model::device_weights(uint32_t layer) const {
  const Range range = ranges_[layer];
  return std::span(device_weights_).subspan(range.first, range.last - range.first);
}

ConstMatrix Model::forward(uint32_t layer, const Pass& pass, ConstMatrix x) {
  BALLAST_CHECK(x.rows == pass.rows && x.columns == input_widths_[layer]);
  refresh(layer, pass.stream);
  return layers_[layer]->forward(pass, device_weights(layer), x);
}

void Model::gradients(uint32_t layer, const Pass& pass, Matrix dy, std::span<const Matrix> out) {
  BALLAST_CHECK(out.size() == ranges_[layer].last - ranges_[layer].first);
  layers_[layer]->gradients(pass, dy, out);
}

void Model::input_gradient(uint32_t layer, const Pass& pass, Matrix dy, Matrix dx) {
  layers_[layer]->input_gradient(pass, device_weights(layer), dy, dx);
}

}  // namespace ballast
