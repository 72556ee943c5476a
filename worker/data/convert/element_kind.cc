#include "worker/data/convert/element_kind.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "common/base/check.h"
#include "worker/data/column_values.h"

namespace ballast {

namespace {

using Family = ElementKind::Family;

template <typename From, typename To>
void widen(std::span<const std::byte> stored, std::span<std::byte> out) {
  const size_t count = stored.size() / sizeof(From);
  BALLAST_CHECK(out.size() == count * sizeof(To));
  for (size_t i = 0; i < count; ++i) {
    From from;
    std::memcpy(&from, stored.data() + i * sizeof from, sizeof from);
    const auto to = static_cast<To>(from);
    std::memcpy(out.data() + i * sizeof to, &to, sizeof to);
  }
}

void convert_native(const ElementKind& kind, std::span<const std::byte> stored,
                    std::span<std::byte> out) {
  const bool is_signed = kind.family == Family::kSigned;
  if (is_signed && kind.bytes == 1) return widen<int8_t, int32_t>(stored, out);
  if (is_signed && kind.bytes == 2) return widen<int16_t, int32_t>(stored, out);
  if (kind.family == Family::kUnsigned && kind.bytes == 2) {
    return widen<uint16_t, int32_t>(stored, out);
  }
  if (kind.family == Family::kUnsigned && kind.bytes == 4) {
    return widen<uint32_t, int64_t>(stored, out);
  }
  if (kind.family == Family::kFloat && kind.bytes == 8) return widen<double, float>(stored, out);
  BALLAST_CHECK(stored.size() == out.size());
  std::copy(stored.begin(), stored.end(), out.begin());
}

}  // namespace

std::optional<ColumnType> ElementKind::column_type() const {
  switch (family) {
    case Family::kBool:
      return bytes == 1 ? std::optional(ColumnType::kU8) : std::nullopt;
    case Family::kUnsigned:
      if (bytes == 1) return ColumnType::kU8;
      if (bytes == 2) return ColumnType::kI32;
      return bytes == 4 ? std::optional(ColumnType::kI64) : std::nullopt;
    case Family::kSigned:
      if (bytes == 1 || bytes == 2 || bytes == 4) return ColumnType::kI32;
      return bytes == 8 ? std::optional(ColumnType::kI64) : std::nullopt;
    case Family::kFloat:
      break;
  }
  if (bytes == 2) return ColumnType::kF16;
  return bytes == 4 || bytes == 8 ? std::optional(ColumnType::kF32) : std::nullopt;
}

std::optional<ElementKind> element_kind_named(const std::string& name) {
  static const std::map<std::string, ElementKind> kinds = {
      {"bool", {Family::kBool, 1}},       {"uint8", {Family::kUnsigned, 1}},
      {"uint16", {Family::kUnsigned, 2}}, {"uint32", {Family::kUnsigned, 4}},
      {"uint64", {Family::kUnsigned, 8}}, {"int8", {Family::kSigned, 1}},
      {"int16", {Family::kSigned, 2}},    {"int32", {Family::kSigned, 4}},
      {"int64", {Family::kSigned, 8}},    {"float16", {Family::kFloat, 2}},
      {"float32", {Family::kFloat, 4}},   {"float64", {Family::kFloat, 8}},
  };
  const auto found = kinds.find(name);
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

void convert_elements(const ElementKind& kind, std::span<const std::byte> stored,
                      std::span<std::byte> out) {
  if (!kind.big_endian || kind.bytes == 1) return convert_native(kind, stored, out);
  std::vector<std::byte> turned(stored.begin(), stored.end());
  for (size_t at = 0; at < turned.size(); at += kind.bytes) {
    std::reverse(turned.begin() + static_cast<ptrdiff_t>(at),
                 turned.begin() + static_cast<ptrdiff_t>(at + kind.bytes));
  }
  convert_native(kind, turned, out);
}

std::optional<uint64_t> first_nonfinite(ColumnType type, std::span<const std::byte> values) {
  if (is_integer(type)) return std::nullopt;
  return with_type(type, [&](auto kind) -> std::optional<uint64_t> {
    using Value = decltype(kind);
    for (uint64_t i = 0; i < values.size() / sizeof(Value); ++i) {
      if (!std::isfinite(as_double(load_value<Value>(values.data(), i)))) return i;
    }
    return std::nullopt;
  });
}

}  // namespace ballast
