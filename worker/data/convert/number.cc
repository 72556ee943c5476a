#include "worker/data/convert/number.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "worker/data/half.h"

namespace ballast {

namespace {

template <typename Number>
bool parse_whole(std::string_view text, Number& number) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

template <typename Number>
bool store(Number number, std::byte* value) {
  std::memcpy(value, &number, sizeof number);
  return true;
}

template <typename Integer>
bool parse_integer(std::string_view text, std::byte* value) {
  Integer number = 0;
  return parse_whole(text, number) && store(number, value);
}

bool parse_float(std::string_view text, ColumnType type, bool allow_nonfinite, std::byte* value) {
  float number = 0;
  if (!parse_whole(text, number)) return false;
  if (type == ColumnType::kF32)
    return (allow_nonfinite || std::isfinite(number)) && store(number, value);
  const uint16_t half = float_to_half(number);
  return (allow_nonfinite || std::isfinite(half_to_float(half))) && store(half, value);
}

}  // namespace

bool parse_number(std::string_view text, ColumnType type, bool allow_nonfinite, std::byte* value) {
  switch (type) {
    case ColumnType::kU8:
      return parse_integer<uint8_t>(text, value);
    case ColumnType::kI32:
      return parse_integer<int32_t>(text, value);
    case ColumnType::kI64:
      return parse_integer<int64_t>(text, value);
    case ColumnType::kF16:
    case ColumnType::kF32:
      return parse_float(text, type, allow_nonfinite, value);
  }
  return false;
}

std::string_view expected_number(ColumnType type) {
  constexpr std::string_view kTexts[] = {
      "u8 (0 to 255)", "i32 (a whole number)", "i64 (a whole number)",
      "f16 (a finite number, at most 65504)", "f32 (a finite number)"};
  return kTexts[static_cast<size_t>(type)];
}

}  // namespace ballast
