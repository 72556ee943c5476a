#include "common/optimizer/optimizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/optimizer/fold_plan.h"

namespace ballast {
namespace {

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

Coefficients coefficients_of(const OptimizerConfig& config, const ApplyArgs& args) {
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

// A tile of one update: pointers already at the tile's first element.
struct Tile {
  FoldPlan::Halves gradient;
  const float* weights_in;
  float* weights_out;
  std::array<float*, 2> state;
  size_t count;
};

// The new weight; the element's state is updated. See the equations in the header.
template <OptimizerKind kKind>
[[gnu::always_inline]] inline float updated(const Coefficients& c, float w, float g, float* state0,
                                            float* state1) {
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

// Out of line: inlined into a loop of other work gcc left such kernels scalar.
template <OptimizerKind kKind, bool kClips, bool kDecays, bool kAdds>
[[gnu::noinline]] void update_tile(const Coefficients& coefficients, const Tile& tile) {
  const Coefficients c = coefficients;
  const UnalignedFloat* left = tile.gradient.left;
  const UnalignedFloat* right = tile.gradient.right;
  const float* weights_in = tile.weights_in;
  float* weights_out = tile.weights_out;
  constexpr bool kHasFirst = kKind != OptimizerKind::kSgd;
  constexpr bool kHasSecond = is_adam(kKind);
  float* state0 = tile.state[0];
  float* state1 = tile.state[1];
  BALLAST_INDEPENDENT_ITERATIONS
  for (size_t i = 0; i < tile.count; ++i) {
    const float w = weights_in[i];
    float g = (kAdds ? left[i] + right[i] : left[i]) * c.scale;
    if constexpr (kClips) {
      g = g < -c.clip ? -c.clip : g;
      g = c.clip < g ? c.clip : g;
    }
    if constexpr (kDecays) g = g + c.decay * w;
    weights_out[i] = updated<kKind>(c, w, g, kHasFirst ? state0 + i : nullptr,
                                    kHasSecond ? state1 + i : nullptr);
  }
}

using Kernel = void (*)(const Coefficients&, const Tile&);

struct KernelChoice {
  bool clips;
  bool decays;
  bool adds;  // two halves of a fold
};

template <OptimizerKind kKind, bool... kChosen>
Kernel kernel_of(const KernelChoice& choice) {
  constexpr size_t kDecided = sizeof...(kChosen);
  if constexpr (kDecided == 3) {
    return update_tile<kKind, kChosen...>;
  } else {
    const bool next = kDecided == 0 ? choice.clips : kDecided == 1 ? choice.decays : choice.adds;
    return next ? kernel_of<kKind, kChosen..., true>(choice)
                : kernel_of<kKind, kChosen..., false>(choice);
  }
}

Kernel kernel_of(OptimizerKind kind, const KernelChoice& choice) {
  switch (kind) {
    case OptimizerKind::kSgd:
      return kernel_of<OptimizerKind::kSgd>(choice);
    case OptimizerKind::kMomentum:
      return kernel_of<OptimizerKind::kMomentum>(choice);
    case OptimizerKind::kNesterov:
      return kernel_of<OptimizerKind::kNesterov>(choice);
    case OptimizerKind::kAdagrad:
      return kernel_of<OptimizerKind::kAdagrad>(choice);
    case OptimizerKind::kRmsprop:
      return kernel_of<OptimizerKind::kRmsprop>(choice);
    case OptimizerKind::kAdam:
      return kernel_of<OptimizerKind::kAdam>(choice);
    case OptimizerKind::kAdamw:
      return kernel_of<OptimizerKind::kAdamw>(choice);
  }
  BALLAST_CHECK_MSG(false, "no such optimizer");
}

void check(const OptimizerConfig& config, const ApplyArgs& args) {
  BALLAST_CHECK(args.weight_sum > 0);
  BALLAST_CHECK(args.updates > 0);
  BALLAST_CHECK(args.weights_in.size() == args.weights_out.size());
  BALLAST_CHECK(args.state.size() == state_count(config.kind));
  for (std::span<float> tensor : args.state) {
    BALLAST_CHECK(tensor.size() == args.weights_out.size());
  }
}

}  // namespace

uint32_t state_count(OptimizerKind kind) {
  if (kind == OptimizerKind::kSgd) return 0;
  return is_adam(kind) ? 2 : 1;
}

std::string_view state_name(OptimizerKind kind, uint32_t index) {
  BALLAST_CHECK(index < state_count(kind));
  if (is_adam(kind)) return index == 0 ? "first_moment" : "second_moment";
  const bool moves = kind == OptimizerKind::kMomentum || kind == OptimizerKind::kNesterov;
  return moves ? "velocity" : "sum_of_squares";
}

void apply_update(const OptimizerConfig& config, const ApplyArgs& args) {
  check(config, args);
  const bool decays = args.decay && config.weight_decay > 0 && config.kind != OptimizerKind::kAdamw;
  const Coefficients coefficients = coefficients_of(config, args);
  const FoldPlan plan(args.gradients, args.lanes);
  const Kernel kernel =
      kernel_of(config.kind, {config.clip_value > 0, decays, args.gradients.size() > 1});
  std::vector<float> scratch(plan.scratch_floats());

  const size_t size = args.weights_out.size();
  for (size_t first = 0; first < size; first += kTileFloats) {
    const size_t count = std::min(kTileFloats, size - first);
    Tile tile{.gradient = plan.run(first, count, scratch.data()),
              .weights_in = args.weights_in.data() + first,
              .weights_out = args.weights_out.data() + first,
              .state = {},
              .count = count};
    for (size_t s = 0; s < args.state.size(); ++s) tile.state[s] = args.state[s].data() + first;
    kernel(coefficients, tile);
  }
}

}  // namespace ballast
