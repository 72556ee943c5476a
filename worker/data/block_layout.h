// Where columns lie in a block without codecs: arithmetic, so that a block needs no footer to be
// read (README.md, "The container, byte by byte"). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/wire/chunk/chunk_format.h"

namespace ballast {

struct BlockLayout {
  std::vector<uint64_t> offsets;  // of each column, in the block
  uint64_t bytes = 0;             // of the block
};

[[nodiscard]] BlockLayout plain_layout(std::span<const ColumnSpec> columns, uint64_t rows);

}  // namespace ballast
