// FramePool: recycled memory for frames of any size, for Transport::allocate(). They come back here
// when the network has sent them, since fresh memory is slow to write (see buffer.h).
// Any thread may take and release; the pool may die before its buffers.
#pragma once

#include <memory>

#include "common/base/buffer.h"

namespace ballast {

class FramePool {
 public:
  // Keeps at most `spare_bytes_max` of free memory; more is freed.
  explicit FramePool(uint64_t spare_bytes_max);

  // Aligned to kBufferAlignment, contents unspecified. 0 bytes: an empty buffer.
  [[nodiscard]] Buffer take(size_t bytes);
  [[nodiscard]] uint64_t spare_bytes() const;

 private:
  struct Shelf;
  std::shared_ptr<Shelf> shelf_;  // shared: outlives the pool while buffers are out
};

}  // namespace ballast
