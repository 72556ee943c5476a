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
  const Part part = copy(parameter, first, values);
  if (streams_.copies) send(part);
}

bool StepWeights::can_stage(uint32_t parameter) {
  const uint32_t layer = model_.parameters()[parameter].layer;
  return streams_.copies && streams_.backend.happened(layers_[layer].arrived);
}

void StepWeights::stage(uint32_t parameter, size_t first, std::span<const std::byte> values) {
  staged_.push_back(copy(parameter, first, values));
}

void StepWeights::send_staged() {
  for (const Part& part : staged_) send(part);
  staged_.clear();
}

// The one copy on this side: from the received frame to where the layer or the device reads.
StepWeights::Part StepWeights::copy(uint32_t parameter, size_t first,
                                    std::span<const std::byte> values) {
  BALLAST_CHECK(values.size() % sizeof(float) == 0);
  const Part part{model_.parameters()[parameter].layer,
                  model_.weights_part(parameter, first, values.size() / sizeof(float))};
  std::memcpy(part.weights.host.data(), values.data(), values.size());
  return part;
}

void StepWeights::send(const Part& part) {
  streams_.wait_for_pass();
  {
    const DeviceTrace::Part traced(streams_.trace.get(), streams_.uploads, "upload", part.layer,
                                   DeviceTrace::Of::kNextPass);
    streams_.backend.upload(streams_.uploads, part.weights.host, part.weights.device);
  }
  Layer& layer = layers_[part.layer];
  streams_.backend.record(layer.arrived, streams_.uploads);
  layer.coming = true;
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
