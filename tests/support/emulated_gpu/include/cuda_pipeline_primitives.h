// In place of CUDA's: copies to shared memory are done when they are waited for.
#pragma once

#include "tests/support/emulated_gpu/threads.h"

inline void __pipeline_memcpy_async(void* shared, const void* global, size_t bytes) {
  ::emulated_gpu::copy_later(shared, global, bytes);
}
inline void __pipeline_commit() {}
inline void __pipeline_wait_prior(size_t) {
  ::emulated_gpu::wait_for_copies();
}
