// The values of a column in their stored types: one switch from ColumnType to a C++ type, and loads
// that assume nothing of alignment. Pure.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>

#include "common/base/half.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

struct Half {
  uint16_t bits;
};

template <typename Value>
[[nodiscard]] float as_float(Value value) {
  return static_cast<float>(value);
}
[[nodiscard]] inline float as_float(Half value) {
  return half_to_float(value.bits);
}

template <typename Value>
[[nodiscard]] double as_double(Value value) {
  return static_cast<double>(value);
}
[[nodiscard]] inline double as_double(Half value) {
  return half_to_float(value.bits);
}

template <typename Value>
[[nodiscard]] Value load_value(const std::byte* values, uint64_t index) {
  Value value;
  std::memcpy(&value, values + index * sizeof value, sizeof value);
  return value;
}

inline constexpr double kHalfMost = 65504;

// Whether `number` is a value of that type, or near one where it has fractions.
template <typename Value>
[[nodiscard]] bool holds(double number) {
  if constexpr (std::is_integral_v<Value>) {
    constexpr double kExact = 9007199254740992;  // 2^53: beyond, doubles skip whole numbers
    return number == std::trunc(number) && std::abs(number) <= kExact &&
           number >= static_cast<double>(std::numeric_limits<Value>::min()) &&
           number <= static_cast<double>(std::numeric_limits<Value>::max());
  } else if constexpr (std::is_same_v<Value, Half>) {
    return std::abs(number) <= kHalfMost;
  } else {
    return std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max());
  }
}

// A number that holds<Value>().
template <typename Value>
[[nodiscard]] Value from_double(double number) {
  if constexpr (std::is_same_v<Value, Half>) {
    return Half{float_to_half(static_cast<float>(number))};
  } else {
    return static_cast<Value>(number);
  }
}

// Calls visit(Value()) with the column's element type.
template <typename Visit>
auto with_type(ColumnType type, Visit visit) {
  switch (type) {
    case ColumnType::kU8:
      return visit(uint8_t{});
    case ColumnType::kI32:
      return visit(int32_t{});
    case ColumnType::kI64:
      return visit(int64_t{});
    case ColumnType::kF16:
      return visit(Half{});
    case ColumnType::kF32:
      break;
  }
  return visit(float{});
}

// Value `index` as people read it: "7", "0.25", "nan".
[[nodiscard]] std::string value_text(ColumnType type, std::span<const std::byte> values,
                                     uint64_t index);

}  // namespace ballast
