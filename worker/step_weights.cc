#include "worker/step_weights.h"

#include <cstring>

#include "common/base/check.h"

namespace ballast {

StepWeights::StepWeights(StepStreams& streams, Model& model) : streams_(streams), model_(model) {
  for (uint32_t layer = 0; layer < model.layer_count(); ++layer) {
    layers_.push_back({streams.backend.create_event()});
  }
}

void StepWeights::take(uint32_t parameter, size_t first, std::span<const std::byte> values) {
  BALLAST_CHECK(values.size() % sizeof(float) == 0);
  const Model::WeightsPart part =
      model_.weights_part(parameter, first, values.size() / sizeof(float));
  // The one copy on this side: from the received frame to where the layer or the device reads.
  std::memcpy(part.host.data(), values.data(), values.size());
  if (!streams_.copies) return;
  const uint32_t layer = model_.parameters()[parameter].layer;
  streams_.wait_for_pass();
  {
    const DeviceTrace::Part traced(streams_.trace.get(), streams_.uploads, "upload", layer,
                                   DeviceTrace::Of::kNextPass);
    streams_.backend.upload(streams_.uploads, part.host, part.device);
  }
  streams_.backend.record(layers_[layer].arrived, streams_.uploads);
  layers_[layer].coming = true;
}

void StepWeights::put(uint32_t layer) {
  if (!streams_.copies) return;
  Backend& backend = streams_.backend;
  Layer& state = layers_[layer];
  if (model_.is_stale(layer)) {
    streams_.wait_for_pass();
    {
      const DeviceTrace::Part part(streams_.trace.get(), streams_.uploads, "upload", layer);
      model_.refresh(layer, streams_.uploads);
    }
    backend.record(state.arrived, streams_.uploads);
  } else if (!state.coming) {
    return;
  }
  backend.wait(streams_.compute, state.arrived);
  state.coming = false;
}

}  // namespace ballast
