#include "worker/data/block_layout.h"

namespace ballast {
namespace {

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

BlockLayout plain_layout(std::span<const ColumnSpec> columns, uint64_t rows) {
  BlockLayout layout;
  for (const ColumnSpec& column : columns) {
    layout.offsets.push_back(round_up(layout.bytes, kColumnAlignment));
    layout.bytes = layout.offsets.back() + rows * column.row_bytes();
  }
  layout.bytes = round_up(layout.bytes, kBlockAlignment);
  return layout;
}

}  // namespace ballast
