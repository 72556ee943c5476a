// The optimizers: one fused pass over a run of elements of one tensor (a unit). Pure functions over
// spans; any thread. An element gets the same bits wherever a span is cut.
//
// w weights, g gradient, lr learning rate, t number of this update from 1. Before any of them:
//   g = fold(lane gradients) * float(1 / weight_sum)
//   g = min(max(g, -clip_value), clip_value)                    if clip_value > 0
//   g = g + weight_decay * w                                    if the parameter decays; not adamw
// sgd       w -= lr * g                                         Robbins and Monro, 1951
// momentum  v = momentum * v + g;  w -= lr * v                  Polyak, 1964
// nesterov  v = momentum * v + g;  w -= lr * (g + momentum * v) Sutskever et al., ICML 2013
// adagrad   s = s + g^2;  w -= lr * g / (sqrt(s) + epsilon)     Duchi et al., JMLR 2011
// rmsprop   s = rho * s + (1 - rho) * g^2;  w -= lr * g / (sqrt(s) + epsilon)   Hinton, 2012
// adam      m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2
//           w -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
//                                                               Kingma and Ba, ICLR 2015
// adamw     w = w * (1 - lr * weight_decay), then adam          Loshchilov and Hutter, ICLR 2019
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "common/config/job_config.h"
#include "common/optimizer/fold.h"
#include "common/optimizer/update_args.h"

namespace ballast {

// Tensors of state beside the weights, each as large as the weights and zero at first.
[[nodiscard]] uint32_t state_count(OptimizerKind kind);
// "velocity", "sum_of_squares", "first_moment" ...: names in checkpoints. index < state_count.
[[nodiscard]] std::string_view state_name(OptimizerKind kind, uint32_t index);

// One update of `weights_out.size()` elements. Every span is borrowed for the call.
struct ApplyArgs {
  std::span<const GradientNode> gradients;  // as fold_gradients() takes them
  uint32_t lanes = 1;                       // the tree is over [0, lanes)
  UpdateArgs update;
  // `weights_out` is apart from `weights_in`, so that the old version stays readable, or equal to
  // it. It may also be the memory of one of the gradients, which is then used up: whatever is read
  // is read before the same element is written, and the write costs no extra line of memory.
  std::span<const float> weights_in;
  std::span<float> weights_out;
  std::span<const std::span<float>> state;  // state_count(kind) tensors, updated in place
};

void apply_update(const OptimizerConfig& config, const ApplyArgs& args);

}  // namespace ballast
