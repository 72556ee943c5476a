#include "worker/data/row_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <limits>
#include <new>

namespace ballast {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

}  // namespace

Result<Buffer> map_rows(uint64_t bytes) {
  if (bytes == 0) return Buffer();
  try {
    if (bytes > std::numeric_limits<uint64_t>::max() - kHugePage) throw std::bad_alloc();
    Buffer reserved = Buffer::map(bytes + kHugePage);  // what is never touched takes no memory
    const uint64_t before = -reinterpret_cast<uintptr_t>(reserved.data()) % kHugePage;
    Buffer memory = reserved.slice(before, bytes);
    madvise(memory.data(), bytes, MADV_HUGEPAGE);  // a hint
    return memory;
  } catch (const std::bad_alloc&) {
    return Status(Code::kExhausted, fmt::format("no memory for {} bytes of data", bytes));
  }
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
