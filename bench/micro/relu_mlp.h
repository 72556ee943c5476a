// The network that benches of a training step measure: dense layers with relu, the last without.
// Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/config/job_config.h"

namespace ballast::bench {

// `widths`: of the input and of every layer.
inline ModelConfig relu_mlp(const std::vector<uint32_t>& widths) {
  ModelConfig model;
  for (size_t l = 1; l < widths.size(); ++l) {
    const bool last = l + 1 == widths.size();
    model.layers.push_back({.kind = LayerKind::kDense,
                            .units = widths[l],
                            .activation = last ? Activation::kNone : Activation::kRelu});
  }
  return model;
}

}  // namespace ballast::bench
