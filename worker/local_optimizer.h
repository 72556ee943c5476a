// LocalOptimizer: what a worker does between two pushes of push = "delta": an optimizer step on its
// own weights after every batch, then weights as they were and what they changed by. The state of
// the optimizer begins anew in each step, because the lane may go to another worker: so what a lane
// pushes depends on nothing but its rows and the weights it began with, whoever owns it.
//
// The servers divide sums over lanes by the sum of their weights, so a delta is pushed times the
// weight of the lane's samples (common/optimizer/push_rule.h). Owner thread: the computing thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/config/job_config.h"
#include "worker/train_step.h"

namespace ballast {

class LocalOptimizer {
 public:
  // Both outlive it.
  LocalOptimizer(const TrainConfig& train, TrainStep& step);

  // Keeps the weights as they are.
  void begin();
  // One local step: `gradients` are sums over samples that weigh `weight_sum`; nothing if it is 0.
  void apply(const GradientSet& gradients, double weight_sum, double learning_rate);
  // `out`: what every weight changed by, times `weight_sum`. kDiverged: that is NaN or infinite;
  // names the parameter. The weights are as they were.
  [[nodiscard]] Status finish(double weight_sum, GradientSet& out);
  // The weights are as they were.
  void give_up();

 private:
  struct Parameter {
    std::vector<float> before;              // the weights as they were
    std::vector<std::vector<float>> state;  // state_count() tensors
  };

  const TrainConfig& train_;
  TrainStep& step_;
  std::vector<Parameter> parameters_;
  uint64_t updates_ = 0;
};

// Whether steps sum the gradients of several batches: deltas are of weights.
[[nodiscard]] inline bool sums_batches(const TrainConfig& train) {
  return train.local_steps > 1 && train.push == PushKind::kGradient;
}

// Bytes that one holds beside the weights themselves.
[[nodiscard]] uint64_t local_optimizer_bytes(const TrainConfig& train, uint64_t parameter_bytes);

}  // namespace ballast
