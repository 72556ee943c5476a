#include "common/compute/cuda/cuda_backend.h"

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/open_cuda.h"
#include "common/config/choices.h"

namespace ballast::cuda {
namespace {

Status no_device(const std::string& why) {
  return Status(Code::kInvalidInput,
                fmt::format("device cuda: {}; run where a GPU and its driver are, or set "
                            "cluster.device = \"cpu\"",
                            why));
}

}  // namespace

Status check_device(uint32_t devices) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return no_device("there is no driver of NVIDIA on this machine");
  }
  if (driver / 1000 < CUDART_VERSION / 1000) {
    return no_device(
        fmt::format("a driver for CUDA {} or newer expected, that of this machine is for {}.{}",
                    CUDART_VERSION / 1000, driver / 1000, driver % 1000 / 10));
  }
  int visible = 0;
  const cudaError_t error = cudaGetDeviceCount(&visible);
  if (error != cudaSuccess) return no_device(cudaGetErrorString(error));
  if (visible == 0) return no_device("no GPU is visible");
  if (devices > static_cast<uint32_t>(visible)) {
    return Status(Code::kInvalidInput,
                  fmt::format("device cuda: cluster.devices = {} expected, {} visible; set it to "
                              "at most {}, or 0 for all",
                              devices, visible, visible));
  }
  return CublasLibrary::load().status();
}

Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options) {
  BALLAST_RETURN_IF_ERROR(check_device(options.devices));
  return CudaBackend::open(options);
}

Result<std::unique_ptr<Backend>> CudaBackend::open(const BackendOptions& options) {
  int visible = 0;
  cudaError_t error = cudaGetDeviceCount(&visible);
  if (error != cudaSuccess) return no_device(cudaGetErrorString(error));
  const auto devices = options.devices == 0 ? static_cast<uint32_t>(visible) : options.devices;
  const auto device = static_cast<int>(options.worker % devices);
  cudaDeviceProp properties{};
  error = cudaGetDeviceProperties(&properties, device);
  if (error == cudaSuccess) error = cudaSetDevice(device);
  if (error != cudaSuccess) return no_device(cudaGetErrorString(error));
  BALLAST_ASSIGN(const CublasLibrary* library, CublasLibrary::load());
  std::unique_ptr<CudaBackend> backend(new CudaBackend(
      device,
      fmt::format("GPU {} of {}, {}, compute capability {}.{}, {} multiprocessors, {:.0f} GiB, "
                  "products of {}",
                  device, visible, properties.name, properties.major, properties.minor,
                  properties.multiProcessorCount,
                  static_cast<double>(properties.totalGlobalMem) / (1 << 30),
                  name_of(options.precision)),
      fmt::format("cuda: {}, cuBLASLt {}", properties.name, library->version()),
      DeviceMemory(device, properties.totalGlobalMem, options.memory), options.graphs));
  BALLAST_ASSIGN(backend->gemm_,
                 Gemm::create(options.precision, backend->memory_, backend->failure_));
  return std::unique_ptr<Backend>(std::move(backend));
}

CudaBackend::~CudaBackend() {
  cudaSetDevice(device_);
  for (cudaStream_t stream : streams_) cudaStreamSynchronize(stream);
  for (cudaGraphExec_t graph : graphs_) cudaGraphExecDestroy(graph);
  gemm_.reset();
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
  for (cudaStream_t stream : streams_) cudaStreamDestroy(stream);
}

std::string CudaBackend::description() const {
  return "cuda: " + name_;
}

std::string CudaBackend::arithmetic() const {
  return arithmetic_;
}

// ---------------------------------------------------------------- memory

Result<DeviceBuffer> CudaBackend::allocate(size_t floats) {
  cudaSetDevice(device_);
  BALLAST_ASSIGN(DeviceBuffer memory, memory_.allocate(floats));
  if (floats == 0) return memory;
  float* device_data = memory.matrix(1, 1).device_data;
  cudaError_t error = cudaMemset(device_data, 0, floats * sizeof(float));
  // Our streams do not wait for the one that clears it.
  if (error == cudaSuccess) error = cudaStreamSynchronize(cudaStreamLegacy);
  if (!failure_.note(error, "clear memory")) return failure_.status();
  return memory;
}

// Pinned; where the system gives no more of that, what copies need a stop on the way for.
Buffer CudaBackend::allocate_host(size_t bytes) {
  cudaSetDevice(device_);
  void* memory = nullptr;
  if (bytes == 0 || cudaHostAlloc(&memory, bytes, cudaHostAllocPortable) != cudaSuccess) {
    cudaGetLastError();
    return Buffer::allocate(bytes);
  }
  // Dropped on any thread: one that chose no GPU would begin to use the first.
  const std::shared_ptr<void> owner(memory, [device = device_](void* freed) {
    cudaSetDevice(device);
    cudaFreeHost(freed);
  });
  std::fill_n(static_cast<std::byte*>(memory), bytes, std::byte{0});
  return Buffer::adopt(static_cast<std::byte*>(memory), bytes, owner);
}

float* CudaBackend::device_address(float* /*host_data*/) {
  return nullptr;
}

void CudaBackend::upload(StreamId stream, std::span<const float> host_from, Matrix to) {
  BALLAST_CHECK(host_from.size() == to.size());
  if (host_from.empty()) return;  // perhaps from nowhere
  failure_.note(cudaMemcpyAsync(to.device_data, host_from.data(), host_from.size_bytes(),
                                cudaMemcpyHostToDevice, on(stream)),
                "copy to the device");
}

void CudaBackend::upload(StreamId stream, std::span<const uint32_t> host_from, Indices to) {
  BALLAST_CHECK(host_from.size() == to.count);
  if (host_from.empty()) return;  // perhaps from nowhere
  failure_.note(cudaMemcpyAsync(to.device_data, host_from.data(), host_from.size_bytes(),
                                cudaMemcpyHostToDevice, on(stream)),
                "copy to the device");
}

void CudaBackend::upload(StreamId stream, std::span<const std::byte> host_from, StoredMatrix to) {
  BALLAST_CHECK(host_from.size() == to.bytes());
  if (host_from.empty()) return;  // perhaps from nowhere
  failure_.note(cudaMemcpyAsync(to.device_data, host_from.data(), host_from.size(),
                                cudaMemcpyHostToDevice, on(stream)),
                "copy to the device");
}

void CudaBackend::download(StreamId stream, ConstMatrix from, std::span<float> host_to) {
  BALLAST_CHECK(host_to.size() == from.size());
  if (host_to.empty()) return;
  failure_.note(cudaMemcpyAsync(host_to.data(), from.device_data, host_to.size_bytes(),
                                cudaMemcpyDeviceToHost, on(stream)),
                "copy from the device");
}

// ---------------------------------------------------------------- streams and events

// Also selects the device: it is a thread's, and the owner may have changed since.
cudaStream_t CudaBackend::on(StreamId stream) {
  BALLAST_CHECK(stream.value() < streams_.size());
  cudaSetDevice(device_);
  return streams_[stream.value()];
}

cudaEvent_t CudaBackend::at(EventId event) const {
  BALLAST_CHECK(event.value() < events_.size());
  return events_[event.value()];
}

StreamId CudaBackend::create_stream() {
  cudaSetDevice(device_);
  cudaStream_t stream = nullptr;
  // Waits for nothing but what it is told to: not for the stream that has no name either.
  failure_.note(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
  streams_.push_back(stream);
  segment_scratch_.emplace_back();
  return StreamId(static_cast<uint32_t>(streams_.size() - 1));
}

EventId CudaBackend::create_event() {
  return add_event(cudaEventDisableTiming);
}

EventId CudaBackend::create_timed_event() {
  return add_event(cudaEventDefault);
}

EventId CudaBackend::add_event(unsigned flags) {
  cudaSetDevice(device_);
  cudaEvent_t event = nullptr;
  // Who waits for one sleeps: its core has other threads.
  failure_.note(cudaEventCreateWithFlags(&event, flags | cudaEventBlockingSync), "create an event");
  events_.push_back(event);
  return EventId(static_cast<uint32_t>(events_.size() - 1));
}

void CudaBackend::record(EventId event, StreamId stream) {
  failure_.note(cudaEventRecord(at(event), on(stream)), "record an event");
}

void CudaBackend::wait(StreamId stream, EventId event) {
  failure_.note(cudaStreamWaitEvent(on(stream), at(event), 0), "wait for an event");
}

bool CudaBackend::happened(EventId event) {
  const cudaError_t error = cudaEventQuery(at(event));
  if (error == cudaErrorNotReady) {
    cudaGetLastError();  // no error of the next launch
    return false;
  }
  failure_.note(error, "ask for an event");
  return true;
}

Status CudaBackend::ended(cudaError_t error) {
  failure_.note(error, "compute");
  return failure_.status();
}

Status CudaBackend::synchronize(EventId event) {
  return ended(cudaEventSynchronize(at(event)));
}

Status CudaBackend::synchronize(StreamId stream) {
  return ended(cudaStreamSynchronize(on(stream)));
}

Duration CudaBackend::between(EventId from, EventId to) {
  float milliseconds = 0;  // steps of about half a microsecond
  failure_.note(cudaEventElapsedTime(&milliseconds, at(from), at(to)), "time an event");
  return failure_.status().ok() ? from_seconds(milliseconds * 1e-3) : Duration{};
}

// ---------------------------------------------------------------- graphs

// Only this thread must not do then what a graph cannot hold: others may take pinned memory.
bool CudaBackend::begin_graph(StreamId stream) {
  before_graph_ = failure_;
  gemm_->begin_graph();
  const bool begun = failure_.note(
      cudaStreamBeginCapture(on(stream), cudaStreamCaptureModeThreadLocal), "begin a graph");
  if (!begun) give_up_graph();
  return begun;
}

// What went wrong has cost nothing: none of it was done.
void CudaBackend::give_up_graph() {
  gemm_->end_graph();
  cudaGetLastError();  // no error of the next launch
  log::warn("no graph of a step, which goes one by one: {}", failure_.status().to_string());
  failure_ = before_graph_;
}

std::optional<GraphId> CudaBackend::end_graph(StreamId stream) {
  cudaGraph_t kept = nullptr;
  cudaGraphExec_t graph = nullptr;
  failure_.note(cudaStreamEndCapture(on(stream), &kept), "end a graph");
  if (failure_.status().ok()) failure_.note(cudaGraphInstantiate(&graph, kept, 0), "make a graph");
  if (kept != nullptr) cudaGraphDestroy(kept);
  // Takes its memory now and not in a step.
  if (graph != nullptr) failure_.note(cudaGraphUpload(graph, on(stream)), "make a graph");
  if (!failure_.status().ok()) {
    if (graph != nullptr) cudaGraphExecDestroy(graph);
    give_up_graph();
    return std::nullopt;
  }
  gemm_->end_graph();
  graphs_.push_back(graph);
  return GraphId(static_cast<uint32_t>(graphs_.size() - 1));
}

void CudaBackend::launch(StreamId stream, GraphId graph) {
  BALLAST_CHECK(graph.value() < graphs_.size());
  failure_.note(cudaGraphLaunch(graphs_[graph.value()], on(stream)), "launch a graph");
}

// ---------------------------------------------------------------- profiler

// A few nanoseconds each while no profiler is attached: NVTX looks for one at its first call.
void CudaBackend::begin_range(const char* name, uint64_t number) {
  nvtxEventAttributes_t range{};
  range.version = NVTX_VERSION;
  range.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  range.messageType = NVTX_MESSAGE_TYPE_ASCII;
  range.message.ascii = name;
  range.payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
  range.payload.ullValue = number;
  nvtxRangePushEx(&range);
}

void CudaBackend::end_range() {
  nvtxRangePop();
}

// After kernels were put on a stream.
void CudaBackend::launched(const char* what) {
  failure_.note(cudaGetLastError(), what);
}

// ---------------------------------------------------------------- stored features

void CudaBackend::convert(StreamId stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
                          ConstMatrix shift, Matrix y) {
  cuda::convert(on(stream), x, center, factor, shift, y);
  launched("floats of stored features");
}

// ---------------------------------------------------------------- dense layer

void CudaBackend::clear(cudaStream_t stream, Matrix matrix) {
  if (matrix.size() == 0) return;
  failure_.note(cudaMemsetAsync(matrix.device_data, 0, matrix.size() * sizeof(float), stream),
                "clear memory");
}

void CudaBackend::multiply(cudaStream_t stream, const Product& product) {
  if (gemm_->multiply(stream, product)) return;
  failure_.note(
      Status(Code::kUnavailable, fmt::format("device cuda: cuBLASLt has no product for {} x {}",
                                             product.c.rows, product.c.columns)));
}

void CudaBackend::dense_forward(StreamId stream, ConstMatrix x, ConstMatrix w, ConstMatrix bias,
                                Activation activation, Matrix z, Matrix y) {
  BALLAST_CHECK(!needs_input(activation) || !z.empty());
  BALLAST_CHECK(x.columns == w.rows && y.rows == x.rows && y.columns == w.columns);
  cudaStream_t on_stream = on(stream);
  if (y.size() == 0) return;
  if (x.columns == 0) {
    clear(on_stream, y);
    bias_activation(on_stream, bias, activation, z, y);
    return launched("bias and activation");
  }
  const bool with_bias =
      !bias.empty() &&
      gemm_->multiply(on_stream, {.a = x, .b = w, .c = y, .bias = bias.device_data});
  if (!with_bias) multiply(on_stream, {.a = x, .b = w, .c = y});
  bias_activation(on_stream, with_bias ? ConstMatrix() : bias, activation, z, y);
  launched("bias and activation");
}

void CudaBackend::activation_backward(StreamId stream, Activation activation, ConstMatrix z,
                                      ConstMatrix y, ConstMatrix dy, Matrix dz) {
  cuda::activation_backward(on(stream), activation, needs_input(activation) ? z : y, dy, dz);
  launched("derivative of an activation");
}

void CudaBackend::dense_gradient(StreamId stream, ConstMatrix x, ConstMatrix dz, Matrix dw,
                                 Matrix dbias) {
  BALLAST_CHECK(x.rows == dz.rows && dw.rows == x.columns && dw.columns == dz.columns);
  cudaStream_t on_stream = on(stream);
  if (dw.size() > 0 && x.rows > 0) {
    multiply(on_stream, {.a = x, .b = dz, .c = dw, .a_transposed = true});
  } else if (dw.size() > 0) {
    clear(on_stream, dw);
  }
  if (dbias.empty()) return;
  column_sums(on_stream, dz, dbias);
  launched("gradient of a bias");
}

void CudaBackend::dense_input_gradient(StreamId stream, ConstMatrix dz, ConstMatrix w, Matrix dx) {
  BALLAST_CHECK(dz.columns == w.columns && dx.rows == dz.rows && dx.columns == w.rows);
  cudaStream_t on_stream = on(stream);
  if (dx.size() == 0) return;
  if (dz.columns == 0) return clear(on_stream, dx);
  multiply(on_stream, {.a = dz, .b = w, .c = dx, .b_transposed = true});
}

// ---------------------------------------------------------------- the rest

void CudaBackend::dropout(StreamId stream, ConstMatrix x, double rate, const DropoutKey& key,
                          Matrix y) {
  cuda::dropout(on(stream), x, rate, key, y);
  launched("dropout");
}

void CudaBackend::layer_norm_forward(StreamId stream, ConstMatrix x, ConstMatrix gain,
                                     ConstMatrix bias, double epsilon, Matrix mean,
                                     Matrix inverse_std, Matrix y) {
  cuda::layer_norm_forward(on(stream), x, gain, bias, epsilon, mean, inverse_std, y);
  launched("layer norm");
}

void CudaBackend::layer_norm_backward(StreamId stream, ConstMatrix x, ConstMatrix gain,
                                      ConstMatrix mean, ConstMatrix inverse_std, ConstMatrix dy,
                                      Matrix dgain, Matrix dbias, Matrix dx) {
  cudaStream_t on_stream = on(stream);
  if (!dgain.empty()) {
    layer_norm_parameter_gradient(on_stream, x, mean, inverse_std, dy, dgain, dbias);
  }
  if (!dx.empty()) layer_norm_input_gradient(on_stream, x, gain, mean, inverse_std, dy, dx);
  launched("gradient of a layer norm");
}

// Taken once for a stream, by its first sum that may need it. Null: there is no memory, and the
// failure is noted.
float* CudaBackend::segment_scratch(StreamId stream) {
  DeviceBuffer& scratch = segment_scratch_[stream.value()];
  if (scratch.floats() == 0) {
    Result<DeviceBuffer> taken = memory_.allocate(kSegmentScratchFloats);
    if (!taken.ok()) {
      failure_.note(taken.status().because("for sums of segments"));
      return nullptr;
    }
    scratch = std::move(taken).value();
  }
  return scratch.matrix(1, 1).device_data;
}

void CudaBackend::segment_sum(StreamId stream, ConstMatrix x, ConstIndices rows,
                              ConstIndices starts, ConstMatrix scales, Matrix y) {
  cudaStream_t on_stream = on(stream);
  float* scratch = nullptr;
  if (rows.count >= kSegmentScratchItems) {
    scratch = segment_scratch(stream);
    if (scratch == nullptr) return;
  }
  cuda::segment_sum(on_stream, x, rows, starts, scales, scratch, y);
  launched("sums of segments");
}

void CudaBackend::dot_interaction_forward(StreamId stream, ConstMatrix x, uint32_t vectors,
                                          Matrix y) {
  cuda::dot_interaction_forward(on(stream), x, vectors, y);
  launched("dot interaction");
}

void CudaBackend::dot_interaction_backward(StreamId stream, ConstMatrix x, uint32_t vectors,
                                           ConstMatrix dy, Matrix dx) {
  cuda::dot_interaction_backward(on(stream), x, vectors, dy, dx);
  launched("gradient of a dot interaction");
}

void CudaBackend::loss(StreamId stream, LossKind kind, ConstMatrix z, ConstMatrix labels,
                       ConstMatrix weights, Matrix row_loss, Matrix row_correct, Matrix dz) {
  cuda::loss(on(stream), kind, z, labels, weights, row_loss, row_correct, dz);
  launched("loss");
}

void CudaBackend::predict(StreamId stream, LossKind kind, ConstMatrix z, Matrix y) {
  cuda::predict(on(stream), kind, z, y);
  launched("predictions");
}

void CudaBackend::add(StreamId stream, ConstMatrix x, Matrix into) {
  cuda::add_to(on(stream), x, into);
  launched("sum of gradients");
}

void CudaBackend::update(StreamId stream, const OptimizerConfig& config, const UpdateArgs& args,
                         ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) {
  cuda::update(on(stream), config, args, gradient, weights, state);
  launched("optimizer step");
}

void CudaBackend::difference(StreamId stream, ConstMatrix now, ConstMatrix before, float factor,
                             Matrix changes) {
  cuda::difference(on(stream), now, before, factor, changes);
  launched("change of weights");
}

void CudaBackend::copy(StreamId stream, ConstMatrix from, Matrix to) {
  BALLAST_CHECK(from.size() == to.size());
  if (to.size() == 0) return;
  failure_.note(cudaMemcpyAsync(to.device_data, from.device_data, to.size() * sizeof(float),
                                cudaMemcpyDeviceToDevice, on(stream)),
                "copy on the device");
}

void CudaBackend::clear(StreamId stream, Matrix values) {
  clear(on(stream), values);
}

void CudaBackend::find_non_finite(StreamId stream, ConstMatrix values, Matrix found) {
  cuda::find_non_finite(on(stream), values, found);
  launched("check for NaN");
}

}  // namespace ballast::cuda
