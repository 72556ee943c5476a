#include <array>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"
#include "common/optimizer/optimizer.h"

namespace ballast::cpu {

void update(const OptimizerConfig& config, const UpdateArgs& args, ConstMatrix gradient,
            Matrix weights, std::span<const Matrix> state) {
  BALLAST_CHECK(gradient.size() == weights.size());
  std::array<std::span<float>, 2> tensors;
  BALLAST_CHECK(state.size() <= tensors.size());
  for (size_t s = 0; s < state.size(); ++s) tensors[s] = {state[s].device_data, state[s].size()};
  const GradientNode whole{0, 1, reinterpret_cast<const std::byte*>(gradient.device_data)};
  const std::span<float> in_place(weights.device_data, weights.size());
  apply_update(config, {.gradients = {&whole, 1},
                        .lanes = 1,
                        .update = args,
                        .weights_in = in_place,
                        .weights_out = in_place,
                        .state = std::span(tensors).first(state.size())});
}

void difference(ConstMatrix now, ConstMatrix before, float factor, Matrix changes) {
  BALLAST_CHECK(now.size() == changes.size() && before.size() == changes.size());
  const float* after = now.device_data;
  const float* from = before.device_data;
  float* out = changes.device_data;
  BALLAST_INDEPENDENT_ITERATIONS
  for (size_t i = 0; i < changes.size(); ++i) out[i] = (after[i] - from[i]) * factor;
}

}  // namespace ballast::cpu
