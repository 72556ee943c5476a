// What lines of sparse text (LibSVM, libffm) are made of: words between blanks, ids and numbers,
// and the bytes of a row whose lists they become. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

// The next word of `line`, which loses it; empty at the end.
std::string_view take_word(std::string_view& line);

[[nodiscard]] std::string_view without_comment(std::string_view line);  // up to '#'

// False: not a whole number from 0 to 2^64 - 1.
[[nodiscard]] bool parse_id(std::string_view text, uint64_t& id);

// The ids a file may have, and what they are stored as: the first id of a file becomes 0.
struct IdRange {
  uint64_t first = 0;
  uint64_t width = 0;                  // how many there are; 0: what the type holds
  ColumnType type = ColumnType::kI64;  // i32 or i64

  [[nodiscard]] uint64_t last() const;
  // "index 4 found, 1 to 3 expected by --width 3"; empty: it is one of them.
  [[nodiscard]] std::string refusal(std::string_view what, uint64_t id) const;
};

// Appends to the bytes of a row.
void append_count(size_t count, std::vector<std::byte>& row);  // of a list, before its items
void append_id(uint64_t stored, ColumnType type, std::vector<std::byte>& row);
// False: not a number of that type (parse_number).
[[nodiscard]] bool append_number(std::string_view text, ColumnType type, bool allow_nonfinite,
                                 std::vector<std::byte>& row);

// What is wrong with a label that is no number of `type`.
[[nodiscard]] std::string label_refusal(ColumnType type, std::string_view text);

// "--features-type i32: f32 or f16 expected for libsvm", "--ids-type u8: i32 or i64 expected ...".
[[nodiscard]] Status check_sparse_types(ColumnType values, ColumnType ids, std::string_view format);

}  // namespace ballast
