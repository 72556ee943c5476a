// The CUDA runtime that the emulated build is linked with, as far as common/compute/cuda uses it:
// two GPUs, of 4 GiB together. Streams do what they are given late and in an order drawn from a
// seed, as far as events and synchronisation let them; host memory that is not pinned is copied as
// CUDA does (from it at once, to it before the call returns). Device memory begins as junk and,
// with the address sanitizer, nobody but a device's operation may touch it. What a capture does not
// allow fails.
//
// Any thread; one lock.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "tests/support/emulated_gpu/threads.h"

namespace emulated_gpu {

// Puts an operation of a device on a stream, or into the graph that the stream keeps.
cudaError_t put(cudaStream_t stream, std::function<void()> operation);

void put_kernel(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                std::function<void()> thread);

// kernel<<<grid, block, shared_bytes, stream>>>(...)
template <typename Thread>
void launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Thread thread) {
  put_kernel(grid, block, shared_bytes, stream, std::move(thread));
}

}  // namespace emulated_gpu
