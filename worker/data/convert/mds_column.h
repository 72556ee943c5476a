// MdsColumn: a column of MDS shards, as its encoding says, and what a stored value of it becomes in
// a row. Pure.
//   int, int8 to int64, uint8 to uint32, float16 to float64   a number
//   ndarray:TYPE:SHAPE                                        numbers of that shape
//   ndarray:TYPE                                              a list of numbers; one dimension only
//   str, bytes                                                a list of u8, as they are
//   str_int, str_float                                        a number, i64 or f32
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/convert/element_kind.h"

namespace ballast {

struct MdsColumn {
  enum class Form : uint8_t { kNumbers, kArray, kBytes, kText };

  // What is wrong with a stored value.
  struct Fault {
    Code code = Code::kDataLoss;
    uint64_t at = 0;  // in its bytes
    std::string what;
  };

  std::string encoding;
  Form form = Form::kNumbers;
  ElementKind kind;  // of numbers and arrays
  ColumnSpec spec;

  // kInvalidInput: no column holds it; the message says what to do.
  static Result<MdsColumn> parse(const std::string& name, const std::string& encoding);

  // Each value says for itself how many bytes it has.
  [[nodiscard]] bool has_sizes() const { return form != Form::kNumbers; }
  // Of a column without sizes.
  [[nodiscard]] uint64_t stored_bytes() const { return spec.width() * kind.bytes; }
  // Appends the value to the bytes of a row.
  [[nodiscard]] std::optional<Fault> append(std::span<const std::byte> stored, bool allow_nonfinite,
                                            std::vector<std::byte>& row) const;
};

}  // namespace ballast
