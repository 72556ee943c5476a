// CpuBackend: the readable reference of door 3. Device memory is host memory, every operation is
// done when the call returns, so streams and events are numbers only, and a timed event happens as
// it is recorded. Matrix products are in gemm.h, the rest are plain loops (kernels.h).
//
// Owner thread: the computing thread; with options.threads > 1 it shares a product with helpers,
// which sleep in between. No bit depends on `threads` or on the rows beside a row.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/compute/backend.h"
#include "common/compute/cpu/gemm.h"

namespace ballast::cpu {

class CpuBackend final : public Backend {
 public:
  // instruction_set: what this code was compiled for; for logs.
  CpuBackend(const BackendOptions& options, std::string instruction_set);

  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::string arithmetic() const override;

  [[nodiscard]] Result<DeviceBuffer> allocate(size_t floats) override;
  [[nodiscard]] Buffer allocate_host(size_t bytes) override;
  [[nodiscard]] float* device_address(float* host_data) override;
  void upload(StreamId stream, std::span<const float> host_from, Matrix to) override;
  void upload(StreamId stream, std::span<const std::byte> host_from, StoredMatrix to) override;
  void upload(StreamId stream, std::span<const uint32_t> host_from, Indices to) override;
  void download(StreamId stream, ConstMatrix from, std::span<float> host_to) override;

  [[nodiscard]] StreamId create_stream() override;
  [[nodiscard]] EventId create_event() override;
  void record(EventId event, StreamId stream) override;
  void wait(StreamId stream, EventId event) override;
  [[nodiscard]] bool happened(EventId event) override;
  [[nodiscard]] Status synchronize(EventId event) override;
  [[nodiscard]] Status synchronize(StreamId stream) override;
  [[nodiscard]] EventId create_timed_event() override;
  [[nodiscard]] Duration between(EventId from, EventId to) override;
  void begin_range(const char* /*name*/, uint64_t /*number*/) override {}
  void end_range() override {}

  void convert(StreamId stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
               ConstMatrix shift, Matrix y) override;
  void dense_forward(StreamId stream, ConstMatrix x, ConstMatrix w, ConstMatrix bias,
                     Activation activation, Matrix z, Matrix y) override;
  void activation_backward(StreamId stream, Activation activation, ConstMatrix z, ConstMatrix y,
                           ConstMatrix dy, Matrix dz) override;
  void dense_gradient(StreamId stream, ConstMatrix x, ConstMatrix dz, Matrix dw,
                      Matrix dbias) override;
  void dense_input_gradient(StreamId stream, ConstMatrix dz, ConstMatrix w, Matrix dx) override;
  void dropout(StreamId stream, ConstMatrix x, double rate, const DropoutKey& key,
               Matrix y) override;
  void layer_norm_forward(StreamId stream, ConstMatrix x, ConstMatrix gain, ConstMatrix bias,
                          double epsilon, Matrix mean, Matrix inverse_std, Matrix y) override;
  void layer_norm_backward(StreamId stream, ConstMatrix x, ConstMatrix gain, ConstMatrix mean,
                           ConstMatrix inverse_std, ConstMatrix dy, Matrix dgain, Matrix dbias,
                           Matrix dx) override;
  void segment_sum(StreamId stream, ConstMatrix x, ConstIndices rows, ConstIndices starts,
                   ConstMatrix scales, Matrix y) override;
  void dot_interaction_forward(StreamId stream, ConstMatrix x, uint32_t vectors, Matrix y) override;
  void dot_interaction_backward(StreamId stream, ConstMatrix x, uint32_t vectors, ConstMatrix dy,
                                Matrix dx) override;
  void loss(StreamId stream, LossKind kind, ConstMatrix z, ConstMatrix labels, ConstMatrix weights,
            Matrix row_loss, Matrix row_correct, Matrix dz) override;
  void predict(StreamId stream, LossKind kind, ConstMatrix z, Matrix y) override;
  void add(StreamId stream, ConstMatrix x, Matrix into) override;
  void update(StreamId stream, const OptimizerConfig& config, const UpdateArgs& args,
              ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) override;
  void difference(StreamId stream, ConstMatrix now, ConstMatrix before, float factor,
                  Matrix changes) override;
  void copy(StreamId stream, ConstMatrix from, Matrix to) override;
  void clear(StreamId stream, Matrix values) override;
  void find_non_finite(StreamId stream, ConstMatrix values, Matrix found) override;

 private:
  const std::string instruction_set_;
  Gemm gemm_;
  uint32_t streams_ = 0;
  struct Event {
    bool timed = false;
    Time recorded{};  // the last time; of timed ones only
  };
  std::vector<Event> events_;
};

}  // namespace ballast::cpu
