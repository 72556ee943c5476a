// The values of a column in their stored types: one switch from ColumnType to a C++ type, and loads
// that assume nothing of alignment. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "common/wire/chunk/chunk_format.h"
#include "worker/data/half.h"

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
