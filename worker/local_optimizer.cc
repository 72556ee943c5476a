#include "worker/local_optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/check.h"
#include "common/optimizer/optimizer.h"

namespace ballast {

LocalOptimizer::LocalOptimizer(const TrainConfig& train, TrainStep& step)
    : train_(train), step_(step), parameters_(step.parameters().size()) {
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    const size_t floats = step_.parameters()[p].element_count();
    parameters_[p].before.resize(floats);
    parameters_[p].state.resize(state_count(train.optimizer.kind), std::vector<float>(floats));
  }
}

void LocalOptimizer::begin() {
  updates_ = 0;
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    std::ranges::copy(step_.weights(p), parameters_[p].before.begin());
    for (std::vector<float>& tensor : parameters_[p].state) std::ranges::fill(tensor, 0.0f);
  }
}

void LocalOptimizer::apply(const GradientSet& gradients, double weight_sum, double learning_rate) {
  if (weight_sum < std::numeric_limits<float>::min()) return;  // as a unit does: 1 / it is no float
  ++updates_;
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    const GradientNode whole{0, 1, gradients.parameters[p].data()};
    const std::vector<std::span<float>> state(parameters_[p].state.begin(),
                                              parameters_[p].state.end());
    const std::span<float> weights = step_.weights(p);
    apply_update(train_.optimizer, {.gradients = {&whole, 1},
                                    .lanes = 1,
                                    .weight_sum = weight_sum,
                                    .updates = updates_,
                                    .learning_rate = learning_rate,
                                    .decay = step_.parameters()[p].decay,
                                    .weights_in = weights,
                                    .weights_out = weights,
                                    .state = state});
  }
}

Status LocalOptimizer::finish(double weight_sum, GradientSet& out) {
  BALLAST_CHECK(out.parameters.size() == parameters_.size());
  const auto factor = static_cast<float>(weight_sum);
  Status found;
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    const std::span<const float> now = step_.weights(p);
    const std::vector<float>& before = parameters_[p].before;
    const std::span<float> delta = out.parameters[p].floats();
    bool finite = true;
    for (size_t i = 0; i < delta.size(); ++i) {
      delta[i] = (now[i] - before[i]) * factor;
      finite = finite && std::isfinite(delta[i]);
    }
    if (!finite && found.ok()) {
      found = Status(Code::kDiverged,
                     fmt::format("bad delta: a change of {} in local steps is NaN or infinite; "
                                 "lower the learning rate or train.local_steps, or set clip_value",
                                 step_.parameters()[p].name));
    }
  }
  give_up();
  return found;
}

void LocalOptimizer::give_up() {
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    std::ranges::copy(parameters_[p].before, step_.weights(p).begin());
  }
}

uint64_t local_optimizer_bytes(const TrainConfig& train, uint64_t parameter_bytes) {
  return (1 + state_count(train.optimizer.kind)) * parameter_bytes;
}

}  // namespace ballast
