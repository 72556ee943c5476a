// Model: the layers of a ModelConfig on one device, their weights and the memory of a pass. It
// knows no lanes, hooks or messages; TrainStep tells it what to do when. Owner thread: the
// computing thread.
//
// Weights have a host side, which callers fill, and a device side, which layers read; where the
// device computes on host memory they are the same memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/compute/backend.h"
#include "common/config/job_config.h"
#include "common/placement/parameters.h"
#include "worker/model/layer.h"

namespace ballast {

class Model {
 public:
  // The model has passed check_model(). `backend` outlives it. kExhausted: no memory.
  [[nodiscard]] static Result<std::unique_ptr<Model>> create(const ModelConfig& config,
                                                             uint32_t input_width,
                                                             uint32_t rows_max, Backend& backend);

  [[nodiscard]] const std::vector<ParameterSpec>& parameters() const { return parameters_; }
  [[nodiscard]] uint32_t layer_count() const { return static_cast<uint32_t>(layers_.size()); }
  // The parameters of a layer: [first, last) of parameters().
  struct Range {
    uint32_t first = 0;
    uint32_t last = 0;
    [[nodiscard]] bool empty() const { return first == last; }
  };
  [[nodiscard]] Range parameters_of_layer(uint32_t layer) const { return ranges_[layer]; }

  // For writing; the device side follows before the layer's next use.
  [[nodiscard]] std::span<float> host_weights(uint32_t parameter);

  // Elements [first, first + count) of a parameter, for who writes the host side and lets the other
  // follow.
  struct WeightsPart {
    std::span<float> host;
    Matrix device;  // one row
  };
  [[nodiscard]] WeightsPart weights_part(uint32_t parameter, size_t first, size_t count);

  // Whether the host side of a layer's weights is newer.
  [[nodiscard]] bool is_stale(uint32_t layer) const;
  // The device side of a layer's weights follows the host side now, and not at the layer's next
  // use.
  void refresh(uint32_t layer, StreamId stream);
  // y[rows, out] of the layer for x[rows, in].
  [[nodiscard]] ConstMatrix forward(uint32_t layer, const Pass& pass, ConstMatrix x);
  // Backward of a layer, from dy[rows, out]: first its gradients (may change dy), then, if anybody
  // needs it, dx[rows, in].
  void gradients(uint32_t layer, const Pass& pass, Matrix dy, std::span<const Matrix> out);
  void input_gradient(uint32_t layer, const Pass& pass, Matrix dy, Matrix dx);

  [[nodiscard]] uint32_t input_width(uint32_t layer) const { return input_widths_[layer]; }
  [[nodiscard]] uint32_t output_width() const { return output_width_; }
  // The device side of a parameter's weights, as it is by now on the compute stream.
  [[nodiscard]] Matrix weights_on_device(uint32_t parameter) const {
    return device_weights_[parameter];
  }
  // The shape of a parameter as the device sees it: rows x columns, vectors as one row.
  [[nodiscard]] Matrix shaped(uint32_t parameter, float* device_data) const;

 private:
  struct Weights {
    Buffer host;
    DeviceBuffer device_memory;  // empty where the device reads `host`
    Matrix device;
    bool stale = false;  // the host side is newer
  };

  explicit Model(Backend& backend) : backend_(backend) {}
  Status add_weights(uint32_t parameter);
  [[nodiscard]] std::span<const Matrix> device_weights(uint32_t layer) const;

  Backend& backend_;
  std::vector<ParameterSpec> parameters_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<Range> ranges_;           // by layer
  std::vector<uint32_t> input_widths_;  // by layer
  uint32_t output_width_ = 0;
  std::vector<Weights> weights_;        // by parameter
  std::vector<Matrix> device_weights_;  // by parameter
};

}  // namespace ballast
