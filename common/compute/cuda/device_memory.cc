#include "common/compute/cuda/device_memory.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>

namespace ballast::cuda {

DeviceMemory::DeviceMemory(int device, size_t device_bytes, double share)
    : device_(device),
      most_bytes_(static_cast<size_t>(static_cast<double>(device_bytes) * share)),
      taken_bytes_(std::make_shared<std::atomic<size_t>>(0)) {}

Result<DeviceBuffer> DeviceMemory::allocate(size_t floats) {
  if (floats == 0) return DeviceBuffer();
  const size_t bytes = floats * sizeof(float);
  const size_t taken = taken_bytes_->load();
  if (bytes > most_bytes_ - std::min(most_bytes_, taken)) {
    return Status(Code::kExhausted,
                  fmt::format("device cuda: {} bytes expected beside {}, and this worker may take "
                              "{}; use a smaller train.batch, or raise cluster.device_memory",
                              bytes, taken, most_bytes_));
  }
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error != cudaSuccess) {
    cudaGetLastError();  // told here: not what the next launch did
    const Code code = error == cudaErrorMemoryAllocation ? Code::kExhausted : Code::kUnavailable;
    return Status(code, fmt::format("device cuda: no memory for {} bytes beside the {} of this "
                                    "worker: {}; use a smaller train.batch or fewer workers a GPU",
                                    bytes, taken, cudaGetErrorString(error)));
  }
  *taken_bytes_ += bytes;
  return DeviceBuffer(static_cast<float*>(memory), floats,
                      [device = device_, taken_bytes = taken_bytes_, bytes](float* freed) {
                        cudaSetDevice(device);  // dropped on any thread
                        cudaFree(freed);        // waits for what uses it
                        *taken_bytes -= bytes;
                      });
}

}  // namespace ballast::cuda
