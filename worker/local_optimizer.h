// LocalOptimizer: what a worker does between two pushes of push = "delta": an optimizer step on its
// own weights after every batch, then weights as they were and what they changed by. Weights,
// gradients and state stay on the device meanwhile; the host side of weights, where it is another,
// never changes. The state of the optimizer begins anew in each step, because the lane may go to
// another worker: so what a lane pushes depends on nothing but its rows and the weights it began
// with, whoever owns it.
//
// The servers divide sums over lanes by the sum of their weights, so a delta is pushed times the
// weight of the lane's samples (common/optimizer/push_rule.h). Owner thread: the computing thread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/status.h"
#include "common/compute/backend.h"
#include "common/config/job_config.h"
#include "worker/train_step.h"

namespace ballast {

class Model;
class StepGradients;
struct StepStreams;

// A part of a TrainStep. The first put() after finish() or give_up() keeps the weights as they are;
// from there to the next of those nobody else changes them.
class LocalOptimizer {
 public:
  // All outlive it.
  LocalOptimizer(StepStreams& streams, Model& model, StepGradients& gradients);
  // Takes the memory; before anything else. kExhausted: the device has not that much left.
  [[nodiscard]] Status allocate(const OptimizerConfig& optimizer);

  // By the step: puts an optimizer step on the compute stream, with the gradients of the pass over
  // `batch` that was put there last; nothing if no row weighs anything.
  void put(const StepRows& batch, double learning_rate);
  // Whether put() changed weights.
  [[nodiscard]] bool under_way() const { return updates_ > 0; }

  // `out`: what every weight changed by, times `weight_sum`; hooks.gradient_final is called for
  // each layer's as they arrive, and a trace says the step and lane of `context`. kDiverged: a
  // change is NaN or infinite; names the parameter, and its layer and those below are not handed
  // over. The weights are as they were.
  [[nodiscard]] Status finish(double weight_sum, GradientSet& out, const StepContext& context = {},
                              const StepHooks& hooks = {});
  // The weights are as they were. No pass is under way.
  void give_up();

 private:
  struct Parameter {
    DeviceBuffer before_memory;
    std::vector<DeviceBuffer> state_memory;
    Matrix before;              // the weights as they were
    std::vector<Matrix> state;  // state_count() tensors
  };

  [[nodiscard]] Result<Parameter> parameter_of(uint32_t index);
  void keep();
  void put_change(uint32_t parameter, float factor, Matrix change);
  Status finish_deltas(const StepHooks& hooks);

  StepStreams& streams_;
  Model& model_;
  StepGradients& gradients_;
  OptimizerConfig optimizer_;
  std::vector<Parameter> parameters_;
  uint64_t updates_ = 0;
};

// Whether steps sum the gradients of several batches: deltas are of weights.
[[nodiscard]] inline bool sums_batches(const TrainConfig& train) {
  return train.local_steps > 1 && train.push == PushKind::kGradient;
}

// Bytes that one holds on the device beside the weights and gradients themselves.
[[nodiscard]] uint64_t local_optimizer_bytes(const TrainConfig& train, uint64_t parameter_bytes);

}  // namespace ballast
