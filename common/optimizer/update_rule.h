// UpdateRule: one update of one element, for every device that has weights to update: the equations
// are on top of optimizer.h. Every operation is one of IEEE 754 and rounds for itself, so whoever
// does not fuse a product with a sum gets the same bits. Pure; any thread, also of a GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/base/check.h"
#include "common/config/job_config.h"
#include "common/optimizer/update_args.h"

namespace ballast {

// Everything an update of one element needs beside its own values, rounded to float once.
struct Coefficients {
  float scale;  // 1 / weight_sum
  float clip;
  float decay;  // L2, into the gradient
  float rate;   // adam, adamw: learning_rate / (1 - beta1^t)
  float momentum;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float rho, one_minus_rho;
  float second_moment_scale;  // adam, adamw: 1 / sqrt(1 - beta2^t)
  float shrink;               // adamw: 1 - learning_rate * weight_decay
  float epsilon;
};

constexpr bool is_adam(OptimizerKind kind) {
  return kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamw;
}

inline Coefficients coefficients_of(const OptimizerConfig& config, const UpdateArgs& args) {
  BALLAST_CHECK(args.weight_sum > 0);
  BALLAST_CHECK(args.updates > 0);
  const auto updates = static_cast<double>(args.updates);
  const double rate_divisor = is_adam(config.kind) ? 1 - std::pow(config.beta1, updates) : 1;
  const auto round = [](double value) { return static_cast<float>(value); };
  return {
      .scale = round(1 / args.weight_sum),
      .clip = round(config.clip_value),
      .decay = round(config.weight_decay),
      .rate = round(args.learning_rate / rate_divisor),
      .momentum = round(config.momentum),
      .beta1 = round(config.beta1),
      .one_minus_beta1 = round(1 - config.beta1),
      .beta2 = round(config.beta2),
      .one_minus_beta2 = round(1 - config.beta2),
      .rho = round(config.rho),
      .one_minus_rho = round(1 - config.rho),
      .second_moment_scale = round(1 / std::sqrt(1 - std::pow(config.beta2, updates))),
      .shrink = round(args.decay ? 1 - args.learning_rate * config.weight_decay : 1),
      .epsilon = round(config.epsilon),
  };
}

// What goes into the optimizer: of a sum over samples its mean, clipped, with the weight's decay.
template <bool kClips, bool kDecays>
[[gnu::always_inline]] constexpr float gradient_of(const Coefficients& c, float w, float sum) {
  float g = sum * c.scale;
  if constexpr (kClips) {
    g = g < -c.clip ? -c.clip : g;
    g = c.clip < g ? c.clip : g;
  }
  if constexpr (kDecays) g = g + c.decay * w;
  return g;
}

// The new weight; the element's state is updated, where the optimizer has any.
template <OptimizerKind kKind>
[[gnu::always_inline]] constexpr float updated(const Coefficients& c, float w, float g,
                                               float* state0, float* state1) {
  if constexpr (kKind == OptimizerKind::kSgd) {
    return w - c.rate * g;
  } else if constexpr (kKind == OptimizerKind::kMomentum) {
    const float velocity = c.momentum * *state0 + g;
    *state0 = velocity;
    return w - c.rate * velocity;
  } else if constexpr (kKind == OptimizerKind::kNesterov) {
    const float velocity = c.momentum * *state0 + g;
    *state0 = velocity;
    return w - c.rate * (g + c.momentum * velocity);
  } else if constexpr (kKind == OptimizerKind::kAdagrad) {
    const float squares = *state0 + g * g;
    *state0 = squares;
    return w - c.rate * g / (std::sqrt(squares) + c.epsilon);
  } else if constexpr (kKind == OptimizerKind::kRmsprop) {
    const float squares = c.rho * *state0 + c.one_minus_rho * (g * g);
    *state0 = squares;
    return w - c.rate * g / (std::sqrt(squares) + c.epsilon);
  } else {
    const float first = c.beta1 * *state0 + c.one_minus_beta1 * g;
    const float second = c.beta2 * *state1 + c.one_minus_beta2 * (g * g);
    *state0 = first;
    *state1 = second;
    const float divisor = std::sqrt(second) * c.second_moment_scale + c.epsilon;
    if constexpr (kKind == OptimizerKind::kAdamw) w = w * c.shrink;
    return w - c.rate * first / divisor;
  }
}

// A rule as constants of the compiler, for loops and kernels that have one for each: calls
// visit.template operator()<kind, clips, decays>().
template <OptimizerKind kKind, typename Visit>
auto with_terms_of(const OptimizerConfig& config, bool decay, Visit visit) {
  const bool clips = config.clip_value > 0;
  const bool decays = decay && config.weight_decay > 0 && kKind != OptimizerKind::kAdamw;
  if (clips && decays) return visit.template operator()<kKind, true, true>();
  if (clips) return visit.template operator()<kKind, true, false>();
  if (decays) return visit.template operator()<kKind, false, true>();
  return visit.template operator()<kKind, false, false>();
}

template <typename Visit>
auto with_rule_of(const OptimizerConfig& config, bool decay, Visit visit) {
  switch (config.kind) {
    case OptimizerKind::kSgd:
      return with_terms_of<OptimizerKind::kSgd>(config, decay, visit);
    case OptimizerKind::kMomentum:
      return with_terms_of<OptimizerKind::kMomentum>(config, decay, visit);
    case OptimizerKind::kNesterov:
      return with_terms_of<OptimizerKind::kNesterov>(config, decay, visit);
    case OptimizerKind::kAdagrad:
      return with_terms_of<OptimizerKind::kAdagrad>(config, decay, visit);
    case OptimizerKind::kRmsprop:
      return with_terms_of<OptimizerKind::kRmsprop>(config, decay, visit);
    case OptimizerKind::kAdam:
      return with_terms_of<OptimizerKind::kAdam>(config, decay, visit);
    case OptimizerKind::kAdamw:
      return with_terms_of<OptimizerKind::kAdamw>(config, decay, visit);
  }
  BALLAST_CHECK_MSG(false, "no such optimizer");
}

}  // namespace ballast
