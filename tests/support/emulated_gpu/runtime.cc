#include "tests/support/emulated_gpu/runtime.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "common/base/random.h"
#include "common/base/time.h"

struct CUevent_st {
  bool timed = false;
  uint64_t records = 0;  // asked for
  uint64_t happened = 0;
  ballast::Time at{};
};

struct CUstream_st {
  struct Operation {
    std::function<void()> run;
    std::function<bool()> may_run;  // empty: at once
  };
  int device = 0;
  std::deque<Operation> operations;
  bool captures = false;
  bool capture_broken = false;
  std::vector<std::function<void()>> captured;
};

struct CUgraph_st {
  std::vector<std::function<void()>> operations;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> operations;
};

namespace emulated_gpu {
namespace {

using Lock = std::lock_guard<std::recursive_mutex>;

constexpr int kDevices = 2;  // unless CUDA_VISIBLE_DEVICES names fewer
constexpr size_t kDeviceBytes = size_t{4} << 30;
constexpr unsigned char kJunk = 0xcd;

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local CUstream_st* capturing = nullptr;

int visible_devices() {
  const char* named = std::getenv("CUDA_VISIBLE_DEVICES");
  if (named == nullptr) return kDevices;
  const std::string_view names(named);
  if (names.empty()) return 0;
  return std::min(kDevices, 1 + static_cast<int>(std::ranges::count(names, ',')));
}

struct Runtime {
  std::recursive_mutex mutex;  // guards all below
  ballast::Random random{seed()};
  std::set<CUstream_st*> streams;
  CUstream_st legacy;
  std::map<std::byte*, size_t> device_memory;
  std::map<std::byte*, size_t> pinned;
  size_t device_bytes = 0;
};

Runtime& runtime() {
  static auto* const one = new Runtime;  // never dropped: buffers may outlive main
  return *one;
}

cudaError_t failed(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// Device memory is there for operations only.
void lock_memory([[maybe_unused]] std::byte* memory, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(memory, bytes);
#endif
}
void unlock_memory([[maybe_unused]] std::byte* memory, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
#endif
}

void perform(const std::function<void()>& operation) {
  for (const auto& [memory, bytes] : runtime().device_memory) unlock_memory(memory, bytes);
  operation();
  for (const auto& [memory, bytes] : runtime().device_memory) lock_memory(memory, bytes);
}

CUstream_st& stream_of(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) return runtime().legacy;
  if (!runtime().streams.contains(stream)) broken("a stream that was never created, or is gone");
  return *stream;
}

// One operation of a stream that may go on -> whether there was one.
bool advance() {
  std::vector<CUstream_st*> ready;
  const auto look = [&](CUstream_st* stream) {
    if (stream->operations.empty()) return;
    const auto& first = stream->operations.front();
    if (!first.may_run || first.may_run()) ready.push_back(stream);
  };
  look(&runtime().legacy);
  for (CUstream_st* stream : runtime().streams) look(stream);
  if (ready.empty()) return false;
  CUstream_st& stream = *ready[runtime().random.below(ready.size())];
  const CUstream_st::Operation operation = std::move(stream.operations.front());
  stream.operations.pop_front();
  operation.run();
  return true;
}

void put_now(CUstream_st& stream, std::function<void()> run,
             std::function<bool()> may_run = nullptr) {
  stream.operations.push_back({std::move(run), std::move(may_run)});
  while (runtime().random.chance(0.4) && advance()) {
  }
}

void drain(const CUstream_st& stream) {
  while (!stream.operations.empty()) {
    if (!advance()) broken("a stream waits for an event that cannot happen");
  }
}

void drain_all() {
  drain(runtime().legacy);
  for (CUstream_st* stream : runtime().streams) drain(*stream);
}

bool is_of_another_device(const CUstream_st& stream) {
  return &stream != &runtime().legacy && stream.device != current_device;
}

// What a capture does not allow on the thread that has begun one.
bool breaks_capture() {
  if (capturing == nullptr) return false;
  capturing->capture_broken = true;
  return true;
}

const char* name_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaErrorUnknown";
  }
}

// Whether `memory` lies in one of the runs.
bool lies_in(const std::map<std::byte*, size_t>& runs, const void* memory, size_t bytes) {
  auto* at = const_cast<std::byte*>(static_cast<const std::byte*>(memory));
  auto run = runs.upper_bound(at);
  if (run == runs.begin()) return false;
  --run;
  return at + bytes <= run->first + run->second;
}

}  // namespace

cudaError_t put(cudaStream_t stream, std::function<void()> operation) {
  const Lock lock(runtime().mutex);
  CUstream_st& on = stream_of(stream);
  if (is_of_another_device(on)) return failed(cudaErrorInvalidResourceHandle);
  auto run = [operation = std::move(operation)] { perform(operation); };
  if (on.captures) {
    on.captured.emplace_back(std::move(run));
  } else {
    put_now(on, std::move(run));
  }
  return cudaSuccess;
}

void put_kernel(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                std::function<void()> thread) {
  const Lock lock(runtime().mutex);
  const uint64_t drawn = runtime().random.next();
  // What is wrong is what cudaGetLastError() says.
  (void)put(stream, [=, thread = std::move(thread)] {
    run_grid(grid, block, shared_bytes, drawn, thread);
  });
}

}  // namespace emulated_gpu

using emulated_gpu::breaks_capture;
using emulated_gpu::broken;
using emulated_gpu::current_device;
using emulated_gpu::failed;
using emulated_gpu::last_error;
using emulated_gpu::Lock;
using emulated_gpu::runtime;
using emulated_gpu::stream_of;

extern "C" {

// ---------------------------------------------------------------- devices and errors

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulated_gpu::visible_devices();
  return *count > 0 ? cudaSuccess : failed(cudaErrorNoDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= emulated_gpu::visible_devices())
    return failed(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated GPU");
  properties->major = 9;
  properties->multiProcessorCount = 2;
  properties->totalGlobalMem = emulated_gpu::kDeviceBytes;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= emulated_gpu::visible_devices())
    return failed(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}
const char* cudaGetErrorName(cudaError_t error) {
  return emulated_gpu::name_of(error);
}
const char* cudaGetErrorString(cudaError_t error) {
  return emulated_gpu::name_of(error);
}

// ---------------------------------------------------------------- memory

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const Lock lock(runtime().mutex);
  if (breaks_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  if (runtime().device_bytes + bytes > emulated_gpu::kDeviceBytes) {
    return failed(cudaErrorMemoryAllocation);
  }
  if (posix_memalign(memory, 256, bytes) != 0) return failed(cudaErrorMemoryAllocation);
  std::memset(*memory, emulated_gpu::kJunk, bytes);
  auto* at = static_cast<std::byte*>(*memory);
  runtime().device_memory[at] = bytes;
  runtime().device_bytes += bytes;
  emulated_gpu::lock_memory(at, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  const Lock lock(runtime().mutex);
  if (breaks_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  if (memory == nullptr) return cudaSuccess;
  emulated_gpu::drain_all();
  const auto found = runtime().device_memory.find(static_cast<std::byte*>(memory));
  if (found == runtime().device_memory.end()) broken("cudaFree of what is no device memory");
  emulated_gpu::unlock_memory(found->first, found->second);
  runtime().device_bytes -= found->second;
  runtime().device_memory.erase(found);
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  const Lock lock(runtime().mutex);
  if (posix_memalign(memory, 256, bytes) != 0) return failed(cudaErrorMemoryAllocation);
  std::memset(*memory, emulated_gpu::kJunk, bytes);
  runtime().pinned[static_cast<std::byte*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const Lock lock(runtime().mutex);
  if (runtime().pinned.erase(static_cast<std::byte*>(memory)) == 0) {
    broken("cudaFreeHost of what is not pinned");
  }
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  const Lock lock(runtime().mutex);
  if (breaks_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  return cudaMemsetAsync(memory, value, bytes, cudaStreamLegacy);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  if (!emulated_gpu::lies_in(runtime().device_memory, memory, bytes)) {
    return failed(cudaErrorInvalidValue);
  }
  return emulated_gpu::put(stream, [=] { std::memset(memory, value, bytes); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  const auto on_device = [&](const void* memory) {
    return bytes == 0 || emulated_gpu::lies_in(runtime().device_memory, memory, bytes);
  };
  const auto is_pinned = [&](const void* memory) {
    return emulated_gpu::lies_in(runtime().pinned, memory, bytes);
  };
  if ((kind == cudaMemcpyHostToDevice) == on_device(from) && bytes > 0) {
    return failed(cudaErrorInvalidValue);
  }
  if ((kind == cudaMemcpyDeviceToHost) == on_device(to) && bytes > 0) {
    return failed(cudaErrorInvalidValue);
  }
  // Ours keep no copies from and to the host in a graph (backend.h).
  if (stream_of(stream).captures && kind != cudaMemcpyDeviceToDevice) {
    stream_of(stream).capture_broken = true;
    return failed(cudaErrorStreamCaptureUnsupported);
  }
  if (kind == cudaMemcpyHostToDevice && !is_pinned(from)) {
    const auto* first = static_cast<const std::byte*>(from);
    auto copy = std::make_shared<std::vector<std::byte>>(first, first + bytes);
    return emulated_gpu::put(stream, [=] { std::memcpy(to, copy->data(), bytes); });
  }
  const cudaError_t error = emulated_gpu::put(stream, [=] { std::memcpy(to, from, bytes); });
  if (error != cudaSuccess) return error;
  if (kind == cudaMemcpyDeviceToHost && !is_pinned(to)) emulated_gpu::drain(stream_of(stream));
  return cudaSuccess;
}

// ---------------------------------------------------------------- streams and events

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(runtime().mutex);
  *stream = new CUstream_st;
  (*stream)->device = current_device;
  runtime().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  emulated_gpu::drain(stream_of(stream));
  runtime().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  if (breaks_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  emulated_gpu::drain(stream_of(stream));
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(runtime().mutex);
  emulated_gpu::drain_all();
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  CUstream_st& on = stream_of(stream);
  if (emulated_gpu::is_of_another_device(on)) return failed(cudaErrorInvalidResourceHandle);
  if (on.captures) on.capture_broken = true;
  const uint64_t number = ++event->records;
  emulated_gpu::put_now(on, [=] {
    event->happened = std::max(event->happened, number);
    event->at = ballast::monotonic_now();
  });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(runtime().mutex);
  CUstream_st& on = stream_of(stream);
  if (emulated_gpu::is_of_another_device(on)) return failed(cudaErrorInvalidResourceHandle);
  if (on.captures) on.capture_broken = true;
  const uint64_t number = event->records;
  emulated_gpu::put_now(
      on, [] {}, [=] { return event->happened >= number; });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(runtime().mutex);
  if (breaks_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  if (event->happened < event->records) emulated_gpu::advance();
  return event->happened == event->records ? cudaSuccess : failed(cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(runtime().mutex);
  if (breaks_capture()) return failed(cudaErrorStreamCaptureUnsupported);
  while (event->happened < event->records) {
    if (!emulated_gpu::advance()) broken("an event that cannot happen is waited for");
  }
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(runtime().mutex);
  if (!from->timed || !to->timed || from->records == 0 || to->records == 0) {
    return failed(cudaErrorInvalidResourceHandle);
  }
  if (from->happened < from->records || to->happened < to->records) {
    return failed(cudaErrorNotReady);
  }
  *milliseconds = static_cast<float>(ballast::to_seconds(to->at - from->at) * 1e3);
  return cudaSuccess;
}

// ---------------------------------------------------------------- graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Lock lock(runtime().mutex);
  CUstream_st& on = stream_of(stream);
  if (&on == &runtime().legacy || on.captures) return failed(cudaErrorStreamCaptureUnsupported);
  on.captures = true;
  on.capture_broken = false;
  emulated_gpu::capturing = &on;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(runtime().mutex);
  CUstream_st& on = stream_of(stream);
  *graph = nullptr;
  if (!on.captures) return failed(cudaErrorInvalidValue);
  on.captures = false;
  emulated_gpu::capturing = nullptr;
  auto captured = std::exchange(on.captured, {});
  if (on.capture_broken) return failed(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{std::move(captured)};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{graph->operations};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  for (const auto& operation : exec->operations) {
    emulated_gpu::put_now(stream_of(stream), operation);
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const Lock lock(runtime().mutex);
  emulated_gpu::drain_all();
  delete exec;
  return cudaSuccess;
}

}  // extern "C"
