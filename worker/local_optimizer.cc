#include "worker/local_optimizer.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "common/base/check.h"
#include "common/optimizer/optimizer.h"
#include "worker/model/model.h"
#include "worker/step_gradients.h"
#include "worker/step_streams.h"

namespace ballast {

LocalOptimizer::LocalOptimizer(StepStreams& streams, Model& model, StepGradients& gradients)
    : streams_(streams), model_(model), gradients_(gradients) {}

Status LocalOptimizer::allocate(const OptimizerConfig& optimizer) {
  BALLAST_CHECK(parameters_.empty());
  optimizer_ = optimizer;
  for (uint32_t p = 0; p < model_.parameters().size(); ++p) {
    Result<Parameter> parameter = parameter_of(p);
    if (!parameter.ok()) {
      return parameter.status().because(fmt::format(
          "while making the local optimizer of {}; train.push = \"gradient\" needs none",
          model_.parameters()[p].name));
    }
    parameters_.push_back(std::move(parameter).value());
  }
  return Status();
}

Result<LocalOptimizer::Parameter> LocalOptimizer::parameter_of(uint32_t index) {
  Backend& backend = streams_.backend;
  const size_t floats = model_.parameters()[index].element_count();
  const auto shaped = [&](const DeviceBuffer& memory) {
    return model_.shaped(index, memory.matrix(1, 1).device_data);
  };
  Parameter parameter;
  BALLAST_ASSIGN(parameter.before_memory, backend.allocate(floats));
  parameter.before = shaped(parameter.before_memory);
  for (uint32_t s = 0; s < state_count(optimizer_.kind); ++s) {
    BALLAST_ASSIGN(DeviceBuffer memory, backend.allocate(floats));
    parameter.state.push_back(shaped(memory));
    parameter.state_memory.push_back(std::move(memory));
  }
  return parameter;
}

// The weights as they are, and state as it begins.
void LocalOptimizer::keep() {
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    streams_.backend.copy(streams_.compute, model_.weights_on_device(p), parameters_[p].before);
    for (const Matrix& tensor : parameters_[p].state) {
      streams_.backend.clear(streams_.compute, tensor);
    }
  }
}

void LocalOptimizer::put(const StepRows& batch, double learning_rate) {
  BALLAST_CHECK(parameters_.size() == model_.parameters().size());
  const double weight_sum = weight_of(batch.weights, batch.rows);
  if (weight_sum < std::numeric_limits<float>::min()) return;  // as a unit does: 1 / it is no float
  const DeviceTrace::Part part(streams_.trace.get(), streams_.compute, "local step");
  if (updates_++ == 0) keep();
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    streams_.backend.update(streams_.compute, optimizer_,
                            {.weight_sum = weight_sum,
                             .updates = updates_,
                             .learning_rate = learning_rate,
                             .decay = model_.parameters()[p].decay},
                            gradients_.sum(p), model_.weights_on_device(p), parameters_[p].state);
  }
}

// What a weight changed by, in the place of its gradient; and the weight as it was.
void LocalOptimizer::put_change(uint32_t parameter, float factor, Matrix change) {
  if (updates_ == 0) return streams_.backend.clear(streams_.compute, change);
  const Matrix weights = model_.weights_on_device(parameter);
  const Matrix before = parameters_[parameter].before;
  streams_.backend.difference(streams_.compute, weights, before, factor, change);
  streams_.backend.copy(streams_.compute, before, weights);
}

// Layer by layer, so that the first are on their way while the next are computed.
Status LocalOptimizer::finish(double weight_sum, GradientSet& out, const StepContext& context,
                              const StepHooks& hooks) {
  BALLAST_CHECK(out.parameters.size() == parameters_.size());
  const DeviceTrace::Pass traced(streams_.trace.get(), context.clock, context.lane);
  const auto factor = static_cast<float>(weight_sum);
  gradients_.begin_pass();
  for (uint32_t layer = model_.layer_count(); layer-- > 0;) {
    if (model_.parameters_of_layer(layer).empty()) continue;
    {
      const DeviceTrace::Part part(streams_.trace.get(), streams_.compute, "delta", layer);
      gradients_.put_instead(layer, out, [&](uint32_t parameter, Matrix change) {
        put_change(parameter, factor, change);
      });
    }
    gradients_.start(layer, out);
  }
  streams_.end_pass();
  updates_ = 0;
  Status status = finish_deltas(hooks);
  if (!status.ok()) streams_.settle();  // the caller takes its buffers back
  return status;
}

Status LocalOptimizer::finish_deltas(const StepHooks& hooks) {
  std::optional<uint32_t> first_bad;
  while (gradients_.any_left()) {
    BALLAST_ASSIGN(const std::optional<uint32_t> bad, gradients_.bad_of_next());
    if (bad) first_bad = bad;  // layers come last first
    const uint32_t layer = gradients_.finish_next();
    if (first_bad || !hooks.gradient_final) continue;
    BALLAST_RETURN_IF_ERROR(hooks.gradient_final(layer));
  }
  if (!first_bad) return Status();
  return Status(Code::kDiverged,
                fmt::format("bad delta: a change of {} in local steps is NaN or infinite; "
                            "lower the learning rate or train.local_steps, or set clip_value",
                            model_.parameters()[*first_bad].name));
}

void LocalOptimizer::give_up() {
  if (updates_ == 0) return;
  for (uint32_t p = 0; p < parameters_.size(); ++p) {
    streams_.backend.copy(streams_.compute, parameters_[p].before, model_.weights_on_device(p));
  }
  streams_.end_pass();
  updates_ = 0;
}

uint64_t local_optimizer_bytes(const TrainConfig& train, uint64_t parameter_bytes) {
  return (1 + state_count(train.optimizer.kind)) * parameter_bytes;
}

}  // namespace ballast
