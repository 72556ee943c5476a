#include "common/base/buffer.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "common/base/check.h"

namespace ballast {
namespace {

Buffer allocate_uncleared(size_t bytes) {
  void* data = ::operator new(bytes, std::align_val_t(kBufferAlignment));
  auto free = [](void* freed) { ::operator delete(freed, std::align_val_t(kBufferAlignment)); };
  return Buffer::adopt(static_cast<std::byte*>(data), bytes, std::shared_ptr<void>(data, free));
}

}  // namespace

Buffer Buffer::allocate(size_t bytes) {
  if (bytes == 0) return Buffer();
  Buffer buffer = allocate_uncleared(bytes);
  std::memset(buffer.data(), 0, bytes);
  return buffer;
}

Buffer Buffer::map(size_t bytes) {
  if (bytes == 0) return Buffer();
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  auto unmap = [bytes](void* mapped) { ::munmap(mapped, bytes); };
  return adopt(static_cast<std::byte*>(data), bytes, std::shared_ptr<void>(data, unmap));
}

Buffer Buffer::copy_of(std::span<const std::byte> bytes) {
  if (bytes.empty()) return Buffer();
  Buffer buffer = allocate_uncleared(bytes.size());
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

Buffer Buffer::adopt(std::byte* data, size_t bytes, std::shared_ptr<void> keep_alive) {
  Buffer buffer;
  buffer.owner_ = std::move(keep_alive);
  buffer.data_ = data;
  buffer.bytes_ = bytes;
  return buffer;
}

Buffer Buffer::slice(size_t offset, size_t bytes) const {
  BALLAST_CHECK(offset <= bytes_ && bytes <= bytes_ - offset);
  Buffer part = *this;
  part.data_ += offset;
  part.bytes_ = bytes;
  return part;
}

std::span<float> Buffer::floats() {
  BALLAST_CHECK(bytes_ % sizeof(float) == 0 &&
                reinterpret_cast<uintptr_t>(data_) % alignof(float) == 0);
  return {reinterpret_cast<float*>(data_), bytes_ / sizeof(float)};
}

std::span<const float> Buffer::floats() const {
  return const_cast<Buffer*>(this)->floats();
}

bool Buffer::sole_owner() const {
  if (owner_.use_count() != 1) return false;
  // The count alone orders nothing. Taking a copy and dropping it follows, in the order of changes
  // to the count, the drop of the last other copy, and thus whatever its thread read before.
  std::shared_ptr<void>(owner_).reset();
  return true;
}

struct BufferPool::Shelf {
  explicit Shelf(size_t spare_max_in) : spare_max(spare_max_in) {}

  const size_t spare_max;
  std::mutex mutex;  // guards all below; held for a push or a pop only
  std::vector<Buffer> spare;
  size_t taken = 0;
  size_t taken_max = 0;
};

BufferPool::BufferPool(size_t buffer_bytes, size_t spare_max, MakeBuffer make)
    : buffer_bytes_(buffer_bytes),
      make_(make == nullptr ? allocate_uncleared : std::move(make)),
      shelf_(std::make_shared<Shelf>(spare_max)) {
  BALLAST_CHECK(buffer_bytes > 0);
}

Buffer BufferPool::take() {
  Buffer memory;
  {
    std::lock_guard lock(shelf_->mutex);
    shelf_->taken_max = std::max(shelf_->taken_max, ++shelf_->taken);
    if (!shelf_->spare.empty()) {
      memory = std::move(shelf_->spare.back());
      shelf_->spare.pop_back();
    }
  }
  if (memory.empty()) memory = make_(buffer_bytes_);
  std::byte* data = memory.data();
  auto give_back = [shelf = shelf_, returned = std::move(memory)](void*) mutable {
    std::lock_guard lock(shelf->mutex);
    --shelf->taken;
    if (shelf->spare.size() < shelf->spare_max) shelf->spare.push_back(std::move(returned));
  };
  return Buffer::adopt(data, buffer_bytes_, std::shared_ptr<void>(data, std::move(give_back)));
}

size_t BufferPool::taken() const {
  std::lock_guard lock(shelf_->mutex);
  return shelf_->taken;
}

size_t BufferPool::taken_max() const {
  std::lock_guard lock(shelf_->mutex);
  return shelf_->taken_max;
}

}  // namespace ballast
