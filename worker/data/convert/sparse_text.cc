#include "worker/data/convert/sparse_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "worker/data/convert/number.h"

namespace ballast {

namespace {

constexpr std::string_view kBlank = " \t";

template <typename Value>
void append_value(Value value, std::vector<std::byte>& row) {
  row.resize(row.size() + sizeof value);
  std::memcpy(row.data() + row.size() - sizeof value, &value, sizeof value);
}

}  // namespace

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlank));
  line.remove_prefix(word.size());
  return word;
}

std::string_view without_comment(std::string_view line) {
  return line.substr(0, line.find('#'));
}

bool parse_id(std::string_view text, uint64_t& id) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() && end == text.data() + text.size();
}

uint64_t IdRange::last() const {
  // With `first` it never wraps: both types are signed.
  const auto most =
      static_cast<uint64_t>(type == ColumnType::kI32 ? std::numeric_limits<int32_t>::max()
                                                     : std::numeric_limits<int64_t>::max());
  return first + (width == 0 ? most : std::min(width - 1, most));
}

std::string IdRange::refusal(std::string_view what, uint64_t id) const {
  if (id >= first && id <= last()) return {};
  std::string text = fmt::format("{} {} found, {} to {} expected", what, id, first, last());
  text += width > 0 ? fmt::format(" by --width {}", width)
                    : fmt::format(" for ids of type {}", column_type_name(type));
  if (id < first) return text + "; indices from 0 need --zero-based";
  return width == 0 && type == ColumnType::kI32 ? text + "; --ids-type i64 holds more" : text;
}

void append_count(size_t count, std::vector<std::byte>& row) {
  append_value(static_cast<uint32_t>(count), row);
}

void append_id(uint64_t stored, ColumnType type, std::vector<std::byte>& row) {
  if (type == ColumnType::kI32) return append_value(static_cast<int32_t>(stored), row);
  append_value(static_cast<int64_t>(stored), row);
}

bool append_number(std::string_view text, ColumnType type, bool allow_nonfinite,
                   std::vector<std::byte>& row) {
  const size_t at = row.size();
  row.resize(at + element_bytes(type));
  return parse_number(text, type, allow_nonfinite, row.data() + at);
}

std::string label_refusal(ColumnType type, std::string_view text) {
  return fmt::format("label: {} expected, \"{}\" found{}", expected_number(type),
                     text.substr(0, 60),
                     is_integer(type) ? "; a label with a fraction needs --label-type f32" : "");
}

Status check_sparse_types(ColumnType values, ColumnType ids, std::string_view format) {
  if (is_integer(values)) {
    return Status(Code::kInvalidInput, fmt::format("--features-type {}: f32 or f16 expected for {}",
                                                   column_type_name(values), format));
  }
  if (ids != ColumnType::kI32 && ids != ColumnType::kI64) {
    return Status(Code::kInvalidInput, fmt::format("--ids-type {}: i32 or i64 expected for {}",
                                                   column_type_name(ids), format));
  }
  return {};
}

}  // namespace ballast
