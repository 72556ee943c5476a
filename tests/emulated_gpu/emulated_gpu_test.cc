// What the emulated GPU (tests/support/emulated_gpu) finds, each planted.
#include <cuda_pipeline_primitives.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <vector>

#include "tests/support/emulated_gpu/device.h"

namespace {

constexpr uint32_t kThreads = 64;

class EmulatedGpu : public ::testing::Test {
 protected:
  EmulatedGpu() {
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    memory_ = allocate(kThreads);
  }
  ~EmulatedGpu() override {
    for (float* memory : all_) EXPECT_EQ(cudaFree(memory), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
  }

  float* allocate(size_t floats) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, floats * sizeof(float)), cudaSuccess);
    all_.push_back(static_cast<float*>(memory));
    return all_.back();
  }

  // A block of kThreads threads, to its end.
  void run(const std::function<void()>& thread, size_t shared_bytes = 0) {
    emulated_gpu::launch(1, kThreads, shared_bytes, stream_, thread);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  }

  std::vector<float> values(const float* memory, size_t count) {
    std::vector<float> found(count);
    EXPECT_EQ(cudaMemcpyAsync(found.data(), memory, count * sizeof(float), cudaMemcpyDeviceToHost,
                              stream_),
              cudaSuccess);
    return found;
  }

  cudaStream_t stream_ = nullptr;
  float* memory_ = nullptr;
  std::vector<float*> all_;
};

using EmulatedGpuDeathTest = EmulatedGpu;

TEST_F(EmulatedGpu, RunsEveryThreadOfEveryBlockOnce) {
  float* counts = allocate(6 * kThreads);
  cudaMemsetAsync(counts, 0, 6 * kThreads * sizeof(float), stream_);
  emulated_gpu::launch(dim3(3, 2), kThreads, 0, stream_, [=] {
    const uint32_t block = blockIdx.y * gridDim.x + blockIdx.x;
    counts[block * blockDim.x + threadIdx.x] += 1;
  });

  EXPECT_THAT(values(counts, 6 * kThreads), ::testing::Each(1.0f));
}

TEST_F(EmulatedGpu, ShufflesAndBarriersDoWhatTheySay) {
  float* memory = memory_;
  run(
      [=] {
        auto* shared = static_cast<float*>(emulated_gpu::dynamic_shared());
        const uint32_t me = threadIdx.x;
        shared[me] = static_cast<float>(me);
        __syncthreads();
        const float other = shared[kThreads - 1 - me];
        float sum = other;
        for (int half = 16; half > 0; half /= 2) sum += __shfl_xor_sync(~0u, sum, half);
        memory[me] = sum;
      },
      kThreads * sizeof(float));

  const std::vector<float> found = values(memory_, kThreads);
  EXPECT_EQ(found[0], 32 * 47.5f);   // of 63 to 32
  EXPECT_EQ(found[63], 32 * 15.5f);  // of 31 to 0
}

TEST_F(EmulatedGpu, AMissingBarrierGivesOtherResults) {
  float* memory = memory_;
  std::set<std::vector<float>> seen;
  for (int repeat = 0; repeat < 8; ++repeat) {
    run(
        [=] {
          auto* shared = static_cast<float*>(emulated_gpu::dynamic_shared());
          shared[threadIdx.x] = 1;
          memory[threadIdx.x] = shared[kThreads - 1 - threadIdx.x];
        },
        kThreads * sizeof(float));
    seen.insert(values(memory_, kThreads));
  }
  EXPECT_GT(seen.size(), 1u);
}

TEST_F(EmulatedGpu, ACopyThatNobodyWaitsForIsNotThere) {
  float* memory = memory_;
  cudaMemsetAsync(memory, 0, kThreads * sizeof(float), stream_);
  float* before = allocate(kThreads);
  run(
      [=] {
        auto* shared = static_cast<float*>(emulated_gpu::dynamic_shared());
        __pipeline_memcpy_async(shared + threadIdx.x, memory + threadIdx.x, sizeof(float));
        before[threadIdx.x] = shared[threadIdx.x];
        __pipeline_wait_prior(0);
        memory[threadIdx.x] = shared[threadIdx.x];
      },
      kThreads * sizeof(float));

  EXPECT_THAT(values(before, kThreads), ::testing::Each(::testing::Ne(0.0f)));
  EXPECT_THAT(values(memory, kThreads), ::testing::Each(0.0f));
}

TEST_F(EmulatedGpu, MemoryBeginsAsJunk) {
  EXPECT_THAT(values(memory_, kThreads), ::testing::Each(::testing::Ne(0.0f)));
}

TEST_F(EmulatedGpu, StreamsDoTheirWorkLate) {
  uint32_t late = 0;
  for (int repeat = 0; repeat < 50; ++repeat) {
    bool done = false;
    emulated_gpu::put(stream_, [&] { done = true; });
    late += !done;
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    EXPECT_TRUE(done);
  }
  EXPECT_GT(late, 10u);
}

TEST_F(EmulatedGpu, AGraphKeepsNoCopiesFromTheHostEventsAndMemory) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  const float value = 1;
  const std::function<void()> breaks[] = {
      [&] { cudaMemcpyAsync(memory_, &value, sizeof value, cudaMemcpyHostToDevice, stream_); },
      [&] { cudaEventRecord(event, stream_); },
      [&] { cudaStreamWaitEvent(stream_, event, 0); },
      [&] {
        void* memory = nullptr;
        cudaMalloc(&memory, 4);
      },
      [&] { cudaStreamSynchronize(stream_); },
  };
  for (const auto& call : breaks) {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    call();
    EXPECT_NE(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    EXPECT_EQ(graph, nullptr);
  }
  cudaGetLastError();
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(EmulatedGpu, AStreamIsOfItsDevice) {
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_NE(cudaMemsetAsync(memory_, 0, 4, stream_), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  cudaGetLastError();
}

TEST_F(EmulatedGpuDeathTest, AccessesOutsideOfMemory) {
  float* memory = memory_;
  EXPECT_DEATH(run([=] { memory[threadIdx.x + 1] = 0; }), "heap-buffer-overflow");
  EXPECT_DEATH(run(
                   [] {
                     auto* shared = static_cast<float*>(emulated_gpu::dynamic_shared());
                     shared[threadIdx.x + 1] = 0;
                   },
                   kThreads * sizeof(float)),
               "heap-buffer-overflow");
  EXPECT_DEATH(memory[0] = 1, "use-after-poison");  // by the host
}

TEST_F(EmulatedGpuDeathTest, ThreadsThatWaitForEver) {
  EXPECT_DEATH(run([] {
                 if (threadIdx.x % 2 == 0) __syncthreads();
                 __syncwarp();
               }),
               "emulated GPU: ");
  EXPECT_DEATH(run([] {
                 if (threadIdx.x == 7) return;
                 (void)__shfl_xor_sync(~0u, 1.0f, 1);
               }),
               "of which another has ended");
}

TEST_F(EmulatedGpuDeathTest, WhatALaunchMayNotAskFor) {
  EXPECT_DEATH(run([] {}, (48u << 10) + 1), "more shared memory");
  EXPECT_DEATH(emulated_gpu::launch(1, 1025, 0, stream_, [] {});
               cudaStreamSynchronize(stream_), "a block of 0 threads, or of more than 1024");
  float* memory = memory_;
  EXPECT_DEATH(run(
                   [=] {
                     auto* shared = static_cast<float*>(emulated_gpu::dynamic_shared());
                     __pipeline_memcpy_async(shared, memory + 1, 16);
                   },
                   64),
               "not aligned");
}

}  // namespace
