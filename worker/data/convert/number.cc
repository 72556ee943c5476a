#include "worker/data/convert/number.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "common/base/half.h"

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

// Short numbers, as most are: [-]digits[.digits] whose digits are a whole number of at most 2^24
// with at most 10 behind the point. Both it and that power of ten are floats without rounding, so
// one division rounds correctly, to the bits that from_chars gives (Clinger 1990). False: not of
// this kind. from_chars was 44 % of the time of a CSV conversion.
bool parse_short_float(std::string_view text, float& number) {
  constexpr float kPowers[] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f, 1e9f, 1e10f};
  constexpr size_t kTextMax = 12;  // so that the digits fit 64 bits
  const char* at = text.data();
  const char* end = at + text.size();
  const bool minus = at != end && *at == '-';
  if (minus) ++at;
  const char* first = at;
  const char* point = nullptr;
  uint64_t digits = 0;
  if (text.size() > kTextMax) return false;
  for (; at != end; ++at) {
    const auto digit = static_cast<unsigned>(*at - '0');
    if (digit <= 9) {
      digits = digits * 10 + digit;
    } else if (*at == '.' && point == nullptr && at != first) {
      point = at;
    } else {
      return false;
    }
  }
  const auto behind = point == nullptr ? 0 : end - point - 1;
  if (at == first || digits > (1u << 24) || behind > 10) return false;
  number = static_cast<float>(digits) / kPowers[behind];
  if (minus) number = -number;
  return true;
}

bool parse_float(std::string_view text, ColumnType type, bool allow_nonfinite, std::byte* value) {
  float number = 0;
  if (!parse_short_float(text, number) && !parse_whole(text, number)) return false;
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
