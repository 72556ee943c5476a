#include "worker/data/block_slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "worker/data/row_memory.h"

namespace ballast {

Result<std::shared_ptr<BlockSlots>> BlockSlots::open(uint64_t slots, uint64_t slot_bytes) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  if (slot_bytes > kMost / std::max<uint64_t>(slots, 1)) {
    return Status(Code::kExhausted,
                  fmt::format("no memory for {} blocks of {} bytes", slots, slot_bytes));
  }
  BALLAST_ASSIGN(Buffer arena, map_rows(slot_bytes * slots));
  std::byte* first = arena.data();
  std::shared_ptr<BlockSlots> opened(new BlockSlots(std::move(arena), slots, slot_bytes));
  for (uint64_t slot = slots; slot-- > 0;) opened->free_.push_back(first + slot_bytes * slot);
  return opened;
}

std::shared_ptr<std::byte> BlockSlots::take() {
  std::lock_guard lock(mutex_);
  if (free_.empty()) return nullptr;
  std::byte* slot = free_.back();
  free_.pop_back();
  return {slot, [slots = shared_from_this()](std::byte* given_back) {
            std::lock_guard again(slots->mutex_);
            slots->free_.push_back(given_back);
          }};
}

Result<std::shared_ptr<std::byte>> BlockSlots::take_beside() const {
  BALLAST_ASSIGN(Buffer pages, map_rows(slot_bytes_));
  const auto owner = std::make_shared<Buffer>(std::move(pages));
  return std::shared_ptr<std::byte>(owner, owner->data());
}

}  // namespace ballast
