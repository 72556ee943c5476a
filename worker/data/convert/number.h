// Text -> the bytes of one value of a column. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "common/wire/chunk/chunk_format.h"

namespace ballast {

// Writes element_bytes(type) bytes. False: not a number of that type, or outside its range.
[[nodiscard]] bool parse_number(std::string_view text, ColumnType type, bool allow_nonfinite,
                                std::byte* value);
// "u8 (0 to 255)": what parse_number wants.
[[nodiscard]] std::string_view expected_number(ColumnType type);

}  // namespace ballast
