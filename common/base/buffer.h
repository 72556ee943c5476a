// Buffer: ref-counted bytes, 64-byte aligned when we allocate them, that travel between threads and
// through transports without copies. BufferPool recycles them, because the first touch of fresh
// memory is a page fault for every 4 KiB (what that costs a job: keep_freed_memory in process.cc).
//
// Any thread may copy, move and drop a Buffer. The bytes belong to whoever filled them until the
// Buffer is shared (sent, published); from then on nobody writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace ballast {

inline constexpr size_t kBufferAlignment = 64;

class Buffer {
 public:
  Buffer() = default;  // empty, no memory

  // Fresh zeroed memory, aligned to kBufferAlignment.
  [[nodiscard]] static Buffer allocate(size_t bytes);
  // The same in pages of its own, which go back to the system with the last copy: for what is large
  // and dropped once for all, where freed memory is kept.
  [[nodiscard]] static Buffer map(size_t bytes);
  [[nodiscard]] static Buffer copy_of(std::span<const std::byte> bytes);
  // Memory owned by somebody else (a received frame): `keep_alive` is released with the last copy.
  // No promise about alignment.
  [[nodiscard]] static Buffer adopt(std::byte* data, size_t bytes,
                                    std::shared_ptr<void> keep_alive);

  // Shares the owner; offset + bytes must lie inside.
  [[nodiscard]] Buffer slice(size_t offset, size_t bytes) const;

  [[nodiscard]] std::byte* data() { return data_; }
  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return bytes_; }
  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  [[nodiscard]] std::span<std::byte> bytes() { return {data_, bytes_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, bytes_}; }

  // Views as floats; the caller knows that the memory is aligned (allocated by us, multiple of 4).
  [[nodiscard]] std::span<float> floats();
  [[nodiscard]] std::span<const float> floats() const;

  // Whether no other Buffer holds this memory. Then nobody else reads it any more, also on other
  // threads, and the owner of this one may write into it again.
  [[nodiscard]] bool sole_owner() const;

  // The reference-counted owner, for hand-over to C libraries with free hooks.
  [[nodiscard]] const std::shared_ptr<void>& owner() const { return owner_; }

 private:
  std::shared_ptr<void>
      owner_;  // shared: frames are held by sender, transport and receiver at once
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// Where memory of so many bytes comes from. Any thread may call it.
using MakeBuffer = std::function<Buffer(size_t bytes)>;

// Recycles equal-sized buffers. Returned memory is not cleared. The pool may die before its
// buffers.
class BufferPool {
 public:
  // Keeps at most `spare_max` free buffers; more are freed. `make`: of memory that is not ours;
  // nullptr: not cleared, aligned to kBufferAlignment.
  BufferPool(size_t buffer_bytes, size_t spare_max, MakeBuffer make = nullptr);

  [[nodiscard]] Buffer take();
  [[nodiscard]] size_t buffer_bytes() const { return buffer_bytes_; }
  // Buffers out now, and the most ever out: what a memory plan is checked against.
  [[nodiscard]] size_t taken() const;
  [[nodiscard]] size_t taken_max() const;

 private:
  struct Shelf;
  size_t buffer_bytes_;
  MakeBuffer make_;
  std::shared_ptr<Shelf> shelf_;  // shared: outlives the pool while buffers are out
};

}  // namespace ballast
