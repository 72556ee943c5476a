// Rows of list columns in memory: where each list begins and how many items it has, so that rows
// stand at equal distances as those of fixed columns do. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

struct ListRow {
  const std::byte* first = nullptr;  // of its items
  uint64_t count = 0;                // in items
};

// Bytes from one row to the next as columns are held: fixed rows as stored, lists as ListRow.
[[nodiscard]] inline uint64_t held_row_bytes(const ColumnSpec& column) {
  return column.variable ? sizeof(ListRow) : column.row_bytes();
}

// rows[r] = the list of row r. `offsets`: rows.size() + 1 numbers, each of 4 bytes or each of 8;
// `items`: of all rows. kDataLoss: the offsets do not begin at 0, fall, or do not end where the
// items do; `where` says whose they are.
[[nodiscard]] Status point_lists(std::span<const std::byte> offsets,
                                 std::span<const std::byte> items, uint64_t item_bytes,
                                 std::span<ListRow> rows, const std::string& where);

}  // namespace ballast
