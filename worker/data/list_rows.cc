#include "worker/data/list_rows.h"

#include <fmt/format.h>

#include "common/base/check.h"
#include "worker/data/column_values.h"

namespace ballast {
namespace {

Status damaged(const std::string& where, uint64_t row, const std::string& expected,
               uint64_t found) {
  return Status(Code::kDataLoss,
                fmt::format("{}: offset {}: {} expected, {} found", where, row, expected, found));
}

template <typename Offset>
Status point(std::span<const std::byte> offsets, std::span<const std::byte> items,
             uint64_t item_bytes, std::span<ListRow> rows, const std::string& where) {
  const uint64_t count = items.size() / item_bytes;
  uint64_t begin = load_value<Offset>(offsets.data(), 0);
  if (begin != 0) return damaged(where, 0, "0", begin);
  for (uint64_t row = 0; row < rows.size(); ++row) {
    const uint64_t end = load_value<Offset>(offsets.data(), row + 1);
    if (end < begin || end > count) {
      return damaged(where, row + 1, fmt::format("{} to {}", begin, count), end);
    }
    rows[row] = {items.data() + begin * item_bytes, end - begin};
    begin = end;
  }
  if (begin == count) return {};
  return damaged(where, rows.size(), fmt::format("all {} items", count), begin);
}

}  // namespace

Status point_lists(std::span<const std::byte> offsets, std::span<const std::byte> items,
                   uint64_t item_bytes, std::span<ListRow> rows, const std::string& where) {
  const uint64_t numbers = rows.size() + 1;
  if (offsets.size() == numbers * sizeof(uint64_t)) {
    return point<uint64_t>(offsets, items, item_bytes, rows, where);
  }
  BALLAST_CHECK(offsets.size() == numbers * sizeof(uint32_t));
  return point<uint32_t>(offsets, items, item_bytes, rows, where);
}

}  // namespace ballast
