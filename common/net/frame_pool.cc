#include "common/net/frame_pool.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <new>

namespace ballast {
namespace {

// Rounds up to 4, 5, 6 or 7 times a power of two: at most a quarter is wasted, and sizes that
// differ by a row share memory.
size_t size_class(size_t bytes) {
  constexpr size_t kSmallest = 256;
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

std::byte* allocate_aligned(size_t bytes) {
  return static_cast<std::byte*>(::operator new(bytes, std::align_val_t(kBufferAlignment)));
}

void free_aligned(void* data) {
  ::operator delete(data, std::align_val_t(kBufferAlignment));
}

}  // namespace

struct FramePool::Shelf {
  ~Shelf() {
    for (auto& [size, frames] : spare) std::for_each(frames.begin(), frames.end(), free_aligned);
  }

  std::byte* pop(size_t bytes) {
    std::lock_guard lock(mutex);
    auto found = spare.find(bytes);
    if (found == spare.end() || found->second.empty()) return nullptr;
    std::byte* data = found->second.back();
    found->second.pop_back();
    spare_bytes -= bytes;
    return data;
  }

  void push(std::byte* data, size_t bytes) {
    std::unique_lock lock(mutex);
    if (spare_bytes + bytes <= spare_bytes_max) {
      spare[bytes].push_back(data);
      spare_bytes += bytes;
      return;
    }
    lock.unlock();
    free_aligned(data);
  }

  uint64_t spare_bytes_max = 0;
  std::mutex mutex;  // guards all below; held for a push or a pop only
  std::map<size_t, std::vector<std::byte*>> spare;
  uint64_t spare_bytes = 0;
};

FramePool::FramePool(uint64_t spare_bytes_max) : shelf_(std::make_shared<Shelf>()) {
  shelf_->spare_bytes_max = spare_bytes_max;
}

Buffer FramePool::take(size_t bytes) {
  if (bytes == 0) return Buffer();
  const size_t rounded = size_class(bytes);
  std::byte* data = shelf_->pop(rounded);
  if (data == nullptr) data = allocate_aligned(rounded);
  auto give_back = [shelf = shelf_, rounded](void* returned) {
    shelf->push(static_cast<std::byte*>(returned), rounded);
  };
  return Buffer::adopt(data, bytes, std::shared_ptr<void>(data, give_back));
}

uint64_t FramePool::spare_bytes() const {
  std::lock_guard lock(shelf_->mutex);
  return shelf_->spare_bytes;
}

}  // namespace ballast
