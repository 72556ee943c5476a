#include "common/placement/parameters.h"

#include <fmt/format.h>

#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"

namespace ballast {
namespace {

double init_limit(Activation activation, uint32_t in, uint32_t out) {
  const bool rectifies = activation == Activation::kRelu || activation == Activation::kGelu;
  return std::sqrt(6.0 / (rectifies ? in : in + out));
}

}  // namespace

uint64_t ParameterSpec::element_count() const {
  uint64_t count = 1;
  for (uint64_t extent : shape) count *= extent;
  return count;
}

std::vector<ParameterSpec> parameters_of(const ModelConfig& model, uint32_t input_width) {
  std::vector<ParameterSpec> parameters;
  uint32_t width = input_width;
  for (uint32_t index = 0; index < model.layers.size(); ++index) {
    const LayerConfig& layer = model.layers[index];
    const auto add = [&](const char* name, std::vector<uint64_t> shape, InitKind init, double limit,
                         bool decay) {
      parameters.push_back(
          {fmt::format("layer{}.{}", index, name), std::move(shape), init, limit, index, decay});
    };
    switch (layer.kind) {
      case LayerKind::kDense:
        add("weight", {width, layer.units}, InitKind::kUniform,
            init_limit(layer.activation, width, layer.units), true);
        if (layer.bias) add("bias", {layer.units}, InitKind::kZero, 0, false);
        width = layer.units;
        break;
      case LayerKind::kLayerNorm:
        add("gain", {width}, InitKind::kOne, 0, false);
        add("bias", {width}, InitKind::kZero, 0, false);
        break;
      case LayerKind::kDropout:
        break;
    }
  }
  return parameters;
}

void fill_initial(const ParameterSpec& parameter, uint32_t index, uint64_t seed, uint64_t first,
                  std::span<float> out) {
  BALLAST_CHECK(first + out.size() <= parameter.element_count());
  for (size_t i = 0; i < out.size(); ++i) {
    switch (parameter.init) {
      case InitKind::kZero:
        out[i] = 0;
        break;
      case InitKind::kOne:
        out[i] = 1;
        break;
      case InitKind::kUniform:
        out[i] =
            static_cast<float>((2.0 * unit_double(hash_numbers({seed, index, first + i})) - 1.0) *
                               parameter.init_limit);
        break;
    }
  }
}

}  // namespace ballast
