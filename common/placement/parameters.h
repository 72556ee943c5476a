// From a model to its parameters, and their first values. The one rule of parameter names and
// shapes: shards initialise from it, the model's layers check against it. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/config/job_config.h"

namespace ballast {

enum class InitKind {
  kZero,
  kOne,
  kUniform,  // in [-limit, limit)
};

// A dense tensor. Row-major; a row is one index of the first dimension.
struct ParameterSpec {
  std::string name;  // "layer0.weight" [in, units], "layer0.bias" [units]
  std::vector<uint64_t> shape;
  InitKind init = InitKind::kZero;
  double init_limit = 0;
  uint32_t layer = 0;  // index of [[layer]]: front layers are sent first
  bool decay = false;  // weight decay touches weights, not biases and norms

  [[nodiscard]] uint64_t element_count() const;
  [[nodiscard]] uint64_t row_elements() const { return element_count() / shape[0]; }
};

// In layer order. dense: weight, bias; layer_norm: gain, bias; dropout has none. Dense weights
// start uniform with limit sqrt(6 / in) before relu and gelu (He et al., ICCV 2015), otherwise
// sqrt(6 / (in + units)) (Glorot and Bengio, AISTATS 2010).
[[nodiscard]] std::vector<ParameterSpec> parameters_of(const ModelConfig& model,
                                                       uint32_t input_width);

// Writes the first values of elements [first, first + out.size()) of parameter number `index`
// (place in parameters_of): a pure function of seed, index and element, the same wherever the
// tensor is cut. Uniform: float((2 * unit_double(hash_numbers({seed, index, element})) - 1) *
// limit), in double until the end; elements count row-major over the whole tensor.
void fill_initial(const ParameterSpec& parameter, uint32_t index, uint64_t seed, uint64_t first,
                  std::span<float> out);

}  // namespace ballast
