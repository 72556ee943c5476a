// The two doors of the device "cuda". Where the build has no CUDA Toolkit, without_cuda.cc is
// compiled in place of this folder and says so.
#pragma once

#include <memory>

#include "common/base/status.h"
#include "common/compute/backend.h"

namespace ballast::cuda {

// kInvalidInput: no GPU, fewer than `devices`, no driver or one that is too old, or no cuBLASLt;
// says which, and what to set instead.
[[nodiscard]] Status check_device(uint32_t devices);
// Errors: those of check_device; kExhausted: the GPU has no memory left.
[[nodiscard]] Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options);

}  // namespace ballast::cuda
