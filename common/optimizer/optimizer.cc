#include "common/optimizer/optimizer.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/optimizer/fold_plan.h"
#include "common/optimizer/update_rule.h"

namespace ballast {
namespace {

// A tile of one update: pointers already at the tile's first element.
struct Tile {
  FoldPlan::Halves gradient;
  const float* weights_in;
  float* weights_out;
  std::array<float*, 2> state;
  size_t count;
};

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
    const float g = gradient_of<kClips, kDecays>(c, w, kAdds ? left[i] + right[i] : left[i]);
    weights_out[i] = updated<kKind>(c, w, g, kHasFirst ? state0 + i : nullptr,
                                    kHasSecond ? state1 + i : nullptr);
  }
}

using Kernel = void (*)(const Coefficients&, const Tile&);

// `adds`: two halves of a fold.
Kernel kernel_of(const OptimizerConfig& config, bool decay, bool adds) {
  return with_rule_of(config, decay,
                      [adds]<OptimizerKind kKind, bool kClips, bool kDecays>() -> Kernel {
                        return adds ? update_tile<kKind, kClips, kDecays, true>
                                    : update_tile<kKind, kClips, kDecays, false>;
                      });
}

void check(const OptimizerConfig& config, const ApplyArgs& args) {
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
  const Coefficients coefficients = coefficients_of(config, args.update);
  const FoldPlan plan(args.gradients, args.lanes);
  const Kernel kernel = kernel_of(config, args.update.decay, args.gradients.size() > 1);
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
