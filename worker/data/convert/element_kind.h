// ElementKind: a number as other systems store it (NumPy, MDS), and what it becomes in a data set:
// the smallest type that holds all of its values. float64 becomes f32, rounded to nearest, because
// nothing is trained in more. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/wire/chunk/chunk_format.h"

namespace ballast {

struct ElementKind {
  enum class Family : uint8_t { kBool, kSigned, kUnsigned, kFloat };
  Family family = Family::kFloat;
  uint8_t bytes = 4;
  bool big_endian = false;

  // Nothing: there is no column type for it, as for uint64 and complex numbers.
  [[nodiscard]] std::optional<ColumnType> column_type() const;
};

// "float32", "int64" ... as NumPy and MDS call them. Nothing: no such kind.
[[nodiscard]] std::optional<ElementKind> element_kind_named(const std::string& name);

// `stored` holds out.size() / element_bytes(column_type) elements of `kind`.
void convert_elements(const ElementKind& kind, std::span<const std::byte> stored,
                      std::span<std::byte> out);

// Index of the first value that is NaN or Inf; nothing: all are finite.
[[nodiscard]] std::optional<uint64_t> first_nonfinite(ColumnType type,
                                                      std::span<const std::byte> values);

}  // namespace ballast
