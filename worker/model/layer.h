// Layer: one [[layer]] of the model, written once against Backend. It keeps the activations of its
// last forward pass, which its backward passes read; memory is for `rows_max` rows. Owner thread:
// the computing thread.
//
// Shapes: n rows of this pass; x[n, in] -> y[n, out]; dy[n, out] -> dx[n, in].
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/compute/backend.h"

namespace ballast {

// What a layer may know of the pass it is in.
struct Pass {
  StreamId stream;
  uint32_t rows = 0;
  bool training = false;  // dropout does nothing otherwise
  uint64_t seed = 0;
  Clock batch = 0;  // its number (LaneSchedule::first_batch)
  LaneId lane{};
};

class Layer {
 public:
  virtual ~Layer() = default;
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  // Returns y: the layer's own memory, valid until its next forward, or x itself. `x` must stay
  // until the backward passes are done. `weights`: this layer's parameters, on the device.
  virtual ConstMatrix forward(const Pass& pass, std::span<const Matrix> weights, ConstMatrix x) = 0;
  // From dy to the gradients of its parameters, sums over rows. May replace dy by what
  // input_gradient() wants, which comes right after if at all.
  virtual void gradients(const Pass& pass, Matrix dy, std::span<const Matrix> out) = 0;
  virtual void input_gradient(const Pass& pass, std::span<const Matrix> weights, Matrix dy,
                              Matrix dx) = 0;
};

// Layer number `index` for inputs of `input_width` columns. `backend` outlives the layer.
// kExhausted: no memory on the device.
[[nodiscard]] Result<std::unique_ptr<Layer>> make_layer(const LayerConfig& config, uint32_t index,
                                                        uint32_t input_width, uint32_t rows_max,
                                                        Backend& backend);

}  // namespace ballast
