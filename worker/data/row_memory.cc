#include "worker/data/row_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <new>

namespace ballast {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

// Address space of `bytes` from a multiple of kHugePage on; null: the system has no more.
std::byte* map_aligned(uint64_t bytes) {
  const uint64_t reserved = bytes + kHugePage;
  if (reserved < bytes) return nullptr;
  void* mapped =
      mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* first = static_cast<std::byte*>(mapped);
  const uint64_t before = -reinterpret_cast<uintptr_t>(mapped) % kHugePage;
  // The system unmaps whole pages: to the end of the last one that has rows.
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t end = before + (bytes + page - 1) / page * page;
  if (before > 0) munmap(first, before);
  if (end < reserved) munmap(first + end, reserved - end);
  return first + before;
}

}  // namespace

Result<Buffer> map_rows(uint64_t bytes) {
  if (bytes == 0) return Buffer();
  std::byte* memory = map_aligned(bytes);
  if (memory == nullptr) {
    return Status(Code::kExhausted, fmt::format("no memory for {} bytes of data", bytes));
  }
  madvise(memory, bytes, MADV_HUGEPAGE);  // a hint
  auto unmap = [bytes](void* mapped) { munmap(mapped, bytes); };
  return Buffer::adopt(memory, bytes, std::shared_ptr<void>(memory, unmap));
}

Result<Buffer> allocate_rows(uint64_t bytes) {
  if (bytes == 0) return Buffer();
  try {
    return Buffer::allocate(bytes);
  } catch (const std::bad_alloc&) {
    return Status(Code::kExhausted, fmt::format("no memory for {} bytes of data", bytes));
  }
}

}  // namespace ballast
