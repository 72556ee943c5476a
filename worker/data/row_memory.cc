#include "worker/data/row_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <new>

namespace ballast {

Result<Buffer> map_rows(uint64_t bytes) {
  try {
    Buffer memory = Buffer::map(bytes);
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
