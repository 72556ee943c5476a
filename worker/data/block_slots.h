// BlockSlots: memory for blocks, as many slots of one size as the memory plan has, in one mapping.
// Each is lent and goes back when its last holder drops it, also after the store has gone. Any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"

namespace ballast {

class BlockSlots : public std::enable_shared_from_this<BlockSlots> {
 public:
  // kExhausted: the system has no such memory.
  static Result<std::shared_ptr<BlockSlots>> open(uint64_t slots, uint64_t slot_bytes);

  [[nodiscard]] uint64_t count() const { return count_; }
  // Null: all are taken.
  [[nodiscard]] std::shared_ptr<std::byte> take();
  // As large as a slot and beside them, for what was not planned. kExhausted.
  [[nodiscard]] Result<std::shared_ptr<std::byte>> take_beside() const;

 private:
  BlockSlots(Buffer arena, uint64_t slots, uint64_t slot_bytes)
      : arena_(std::move(arena)), count_(slots), slot_bytes_(slot_bytes) {}

  const Buffer arena_;
  const uint64_t count_;
  const uint64_t slot_bytes_;
  std::mutex mutex_;  // guards what is below
  std::vector<std::byte*> free_;
};

}  // namespace ballast
