// The optimizers again, slow and obvious: what tests compare devices and vector code with.
#pragma once

#include <algorithm>
#include <cmath>

#include "common/config/job_config.h"

namespace ballast::testing {

// One element in double precision, each optimizer as its paper (see optimizer.h) writes it.
struct Scalar {
  double w = 0, first = 0, second = 0;

  void update(const OptimizerConfig& o, double sum, double weight, double lr, int t, bool decays) {
    double g = sum / weight;
    if (o.clip_value > 0) g = std::clamp(g, -o.clip_value, o.clip_value);
    if (decays && o.kind != OptimizerKind::kAdamw) g += o.weight_decay * w;
    switch (o.kind) {
      case OptimizerKind::kSgd:
        w -= lr * g;
        break;
      case OptimizerKind::kMomentum:
        first = o.momentum * first + g;
        w -= lr * first;
        break;
      case OptimizerKind::kNesterov:
        first = o.momentum * first + g;
        w -= lr * (g + o.momentum * first);
        break;
      case OptimizerKind::kAdagrad:
        first += g * g;
        w -= lr * g / (std::sqrt(first) + o.epsilon);
        break;
      case OptimizerKind::kRmsprop:
        first = o.rho * first + (1 - o.rho) * g * g;
        w -= lr * g / (std::sqrt(first) + o.epsilon);
        break;
      case OptimizerKind::kAdam:
      case OptimizerKind::kAdamw: {
        if (o.kind == OptimizerKind::kAdamw && decays) w -= lr * o.weight_decay * w;
        first = o.beta1 * first + (1 - o.beta1) * g;
        second = o.beta2 * second + (1 - o.beta2) * g * g;
        const double m = first / (1 - std::pow(o.beta1, t));
        const double v = second / (1 - std::pow(o.beta2, t));
        w -= lr * m / (std::sqrt(v) + o.epsilon);
        break;
      }
    }
  }
};

}  // namespace ballast::testing
