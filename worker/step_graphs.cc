#include "worker/step_graphs.h"

#include <algorithm>

namespace ballast {
namespace {

constexpr double kOperationsMax = 2e10;

}  // namespace

// A product forward and two backward, of two operations a weight and row.
bool suits_graphs(const ModelConfig& model, uint32_t input_width, uint32_t rows) {
  double operations = 0;
  uint32_t width = input_width;
  for (const LayerConfig& layer : model.layers) {
    if (layer.kind == LayerKind::kDropout) return false;
    if (layer.kind != LayerKind::kDense) continue;
    operations += 6.0 * width * layer.units * rows;
    width = layer.units;
  }
  return operations <= kOperationsMax;
}

StepGraphs::StepGraphs(Backend& backend, StreamId stream, bool allowed)
    : backend_(backend), stream_(stream), allowed_(allowed && backend.has_graphs()) {}

StepGraphs::Way StepGraphs::way(const StepShape& shape) {
  if (!allowed_) return Way::kOneByOne;
  const auto found = known_.find(shape);
  if (found == known_.end()) {
    if (known_.size() < kGraphsMax) known_.emplace(shape, Known());
    return Way::kOneByOne;
  }
  if (found->second.refused) return Way::kOneByOne;
  return found->second.graph ? Way::kLaunch : Way::kKeep;
}

void StepGraphs::begin() {
  backend_.begin_graph(stream_);
}

bool StepGraphs::end(const StepShape& shape) {
  Known& known = known_.at(shape);
  known.graph = backend_.end_graph(stream_);
  known.refused = !known.graph;
  return !known.refused;
}

void StepGraphs::launch(const StepShape& shape) {
  backend_.launch(stream_, known_.at(shape).graph.value());
}

}  // namespace ballast
