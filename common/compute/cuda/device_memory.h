// DeviceMemory: what one worker takes of a GPU's memory, and its limit: several workers share a
// card, and the first to come must not leave nothing for the others. Owner thread: the back end's;
// buffers may be dropped anywhere and later.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "common/base/status.h"
#include "common/compute/backend.h"

namespace ballast::cuda {

class DeviceMemory {
 public:
  // Of GPU `device`, which has `device_bytes`. `share` of them, in (0, 1]; what the driver takes
  // for itself does not count.
  DeviceMemory(int device, size_t device_bytes, double share);

  // On the thread that has selected the GPU. Not cleared. kExhausted: the limit or the GPU's end;
  // says which, with the sum.
  [[nodiscard]] Result<DeviceBuffer> allocate(size_t floats);

 private:
  const int device_;
  const size_t most_bytes_;
  std::shared_ptr<std::atomic<size_t>> taken_bytes_;  // shared: buffers may outlive this
};

}  // namespace ballast::cuda
