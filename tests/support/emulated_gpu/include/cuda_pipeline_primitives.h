// In place of CUDA's: copies to shared memory are done at once.
#pragma once

#include <cstddef>
#include <cstring>

inline void __pipeline_memcpy_async(void* shared, const void* global, size_t bytes) {
  std::memcpy(shared, global, bytes);
}
inline void __pipeline_commit() {}
inline void __pipeline_wait_prior(size_t) {}
