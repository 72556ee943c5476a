// CudaBackend: door 3 on an NVIDIA GPU. Matrix products are in gemm.h, the rest are kernels.h. All
// that is put on a stream runs in order beside what other streams do; nothing waits but
// synchronize(), what takes or gives back memory, and copies from and to host memory that is not
// pinned.
//
// Owner thread: one; it need not be the one that opened the back end.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/compute/backend.h"
#include "common/compute/cuda/device_memory.h"
#include "common/compute/cuda/failure.h"
#include "common/compute/cuda/gemm.h"

namespace ballast::cuda {

class CudaBackend final : public Backend {
 public:
  // kInvalidInput: no such GPU. kExhausted: no memory on it.
  static Result<std::unique_ptr<Backend>> open(const BackendOptions& options);
  ~CudaBackend() override;

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
  [[nodiscard]] bool has_graphs() const override { return has_graphs_; }
  [[nodiscard]] bool begin_graph(StreamId stream) override;
  [[nodiscard]] std::optional<GraphId> end_graph(StreamId stream) override;
  void launch(StreamId stream, GraphId graph) override;
  void begin_range(const char* name, uint64_t number) override;
  void end_range() override;

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
  CudaBackend(int device, std::string name, std::string arithmetic, const DeviceMemory& memory,
              bool has_graphs)
      : device_(device),
        name_(std::move(name)),
        arithmetic_(std::move(arithmetic)),
        memory_(memory),
        has_graphs_(has_graphs) {}
  [[nodiscard]] cudaStream_t on(StreamId stream);
  [[nodiscard]] cudaEvent_t at(EventId event) const;
  [[nodiscard]] EventId add_event(unsigned flags);
  void launched(const char* what);
  void give_up_graph();
  void clear(cudaStream_t stream, Matrix matrix);
  void multiply(cudaStream_t stream, const Product& product);
  [[nodiscard]] float* segment_scratch(StreamId stream);
  [[nodiscard]] Status ended(cudaError_t error);

  const int device_;
  const std::string name_;
  const std::string arithmetic_;
  DeviceMemory memory_;
  const bool has_graphs_;
  Failure failure_;
  std::unique_ptr<Gemm> gemm_;
  std::vector<cudaStream_t> streams_;
  std::vector<DeviceBuffer> segment_scratch_;  // by stream; empty until it is needed
  std::vector<cudaEvent_t> events_;
  std::vector<cudaGraphExec_t> graphs_;
  Failure before_graph_;  // failure_ when the graph under way was begun
};

}  // namespace ballast::cuda
