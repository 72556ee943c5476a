// Compiled without products fused into sums, so that the bits are the CPU's.
#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"
#include "common/optimizer/optimizer.h"
#include "common/optimizer/update_rule.h"

namespace ballast::cuda {
namespace {

// A thread reads all of an element before it writes any of it.
template <OptimizerKind kKind, bool kClips, bool kDecays>
__global__ void update_kernel(Coefficients c, const float* gradient, float* weights, float* state0,
                              float* state1, size_t count) {
  constexpr bool kHasFirst = kKind != OptimizerKind::kSgd;
  constexpr bool kHasSecond = is_adam(kKind);
  for_elements(count, [&](size_t i) {
    const float w = weights[i];
    const float g = gradient_of<kClips, kDecays>(c, w, gradient[i]);
    weights[i] = updated<kKind>(c, w, g, kHasFirst ? state0 + i : nullptr,
                                kHasSecond ? state1 + i : nullptr);
  });
}

__global__ void difference_kernel(const float* now, const float* before, float factor,
                                  float* changes, size_t count) {
  for_elements(count, [&](size_t i) { changes[i] = (now[i] - before[i]) * factor; });
}

}  // namespace

void update(cudaStream_t stream, const OptimizerConfig& config, const UpdateArgs& args,
            ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) {
  BALLAST_CHECK(gradient.size() == weights.size());
  BALLAST_CHECK(state.size() == state_count(config.kind));
  for (const Matrix& tensor : state) BALLAST_CHECK(tensor.size() == weights.size());
  const Coefficients coefficients = coefficients_of(config, args);
  if (weights.size() == 0) return;
  float* state0 = state.size() > 0 ? state[0].device_data : nullptr;
  float* state1 = state.size() > 1 ? state[1].device_data : nullptr;
  with_rule_of(config, args.decay, [&]<OptimizerKind kKind, bool kClips, bool kDecays>() {
    update_kernel<kKind, kClips, kDecays><<<blocks_for(weights.size()), kThreads, 0, stream>>>(
        coefficients, gradient.device_data, weights.device_data, state0, state1, weights.size());
  });
}

void difference(cudaStream_t stream, ConstMatrix now, ConstMatrix before, float factor,
                Matrix changes) {
  BALLAST_CHECK(now.size() == changes.size() && before.size() == changes.size());
  if (changes.size() == 0) return;
  difference_kernel<<<blocks_for(changes.size()), kThreads, 0, stream>>>(
      now.device_data, before.device_data, factor, changes.device_data, changes.size());
}

}  // namespace ballast::cuda
