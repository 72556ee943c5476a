#include "worker/step_graphs.h"

#include <algorithm>

#include "common/base/log.h"

namespace ballast {
namespace {

// Launching is estimated at 4 us a kernel, 0.12 ms for the 30 of a step of three layers: as long as
// 60 TFLOP/s take for 7e9 operations. Not measured yet: device_bench has the small model both ways.
constexpr double kOperationsMax = 7e9;

// A product forward and two backward, of two operations a weight.
double operations_per_row(const ModelConfig& model, uint32_t input_width) {
  double operations = 0;
  uint32_t width = input_width;
  for (const LayerConfig& layer : model.layers) {
    if (layer.kind != LayerKind::kDense) continue;
    operations += 6.0 * width * layer.units;
    width = layer.units;
  }
  return operations;
}

}  // namespace

StepGraphs::StepGraphs(Backend& backend, StreamId stream, const ModelConfig& model,
                       uint32_t input_width)
    : backend_(backend),
      stream_(stream),
      operations_per_row_(operations_per_row(model, input_width)),
      possible_(backend.has_graphs() &&
                std::ranges::none_of(model.layers, [](const LayerConfig& layer) {
                  return layer.kind == LayerKind::kDropout;
                })) {}

bool StepGraphs::suits(const StepShape& shape) const {
  return possible_ && operations_per_row_ * shape.rows <= kOperationsMax;
}

StepGraphs::Way StepGraphs::way(const StepShape& shape) const {
  const auto found = known_.find(shape);
  if (found == known_.end() || found->second.refused) return Way::kOneByOne;
  return found->second.backward ? Way::kLaunch : Way::kKeep;
}

void StepGraphs::went_well(const StepShape& shape) {
  if (suits(shape) && known_.size() < kShapesMax) known_.try_emplace(shape);
}

bool StepGraphs::keep(const StepShape& shape, const std::function<void()>& forward,
                      const std::function<void()>& backward) {
  Known& known = known_.at(shape);
  known.forward = graph_of(forward);
  if (known.forward) known.backward = graph_of(backward);
  known.refused = !known.backward;
  if (!known.refused && !told_) {
    log::info("steps of {} rows are launched as graphs", shape.rows);
    told_ = true;
  }
  return !known.refused;
}

std::optional<GraphId> StepGraphs::graph_of(const std::function<void()>& work) {
  if (!backend_.begin_graph(stream_)) return std::nullopt;
  work();
  return backend_.end_graph(stream_);
}

void StepGraphs::launch_forward(const StepShape& shape) {
  backend_.launch(stream_, known_.at(shape).forward.value());
}

void StepGraphs::launch_backward(const StepShape& shape) {
  backend_.launch(stream_, known_.at(shape).backward.value());
}

}  // namespace ballast
