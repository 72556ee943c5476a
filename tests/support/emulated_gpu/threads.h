// The threads of a kernel, one block after another on the caller's thread: each runs until it ends
// or waits for its warp or block, in an order drawn from a seed, so that a missing barrier shows as
// other results, and one that some threads wait at for ever ends the program with a message.
//
// Owner thread: whoever holds the lock of the runtime (runtime.h).
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulated_gpu {

inline constexpr uint32_t kWarpLanes = 32;

// Runs `thread` once for each thread of the grid; device.h tells it which one it is.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, uint64_t seed,
              const std::function<void()>& thread);

// --- of the thread that runs ---
[[nodiscard]] uint3 thread_index();
[[nodiscard]] uint3 block_index();
[[nodiscard]] dim3 block_size();
[[nodiscard]] dim3 grid_size();
// As many bytes as the launch said; junk at first, shared by the block.
[[nodiscard]] void* dynamic_shared();
// Waits for all threads of the block that have not ended.
void wait_for_block();
// Waits for all lanes of the warp; all must come.
void wait_for_warp();
// Gives all lanes of the warp a value -> those of the others, by lane. Valid until the next call.
const uint64_t* exchange(uint64_t value);
[[nodiscard]] uint32_t lane_index();

// To shared memory, done when the thread waits for it.
void copy_later(void* to, const void* from, size_t bytes);
void wait_for_copies();

// What all orders are drawn from: BALLAST_EMULATED_SEED, or always the same.
[[nodiscard]] uint64_t seed();

// Says what is wrong with a kernel or a call, and ends the program.
[[noreturn]] void broken(const char* what);

}  // namespace emulated_gpu
