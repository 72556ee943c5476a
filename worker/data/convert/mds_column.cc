#include "worker/data/convert/mds_column.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "worker/data/column_values.h"
#include "worker/data/convert/number.h"

namespace ballast {

namespace {

using Fault = MdsColumn::Fault;

// "3,224,224". Nothing: something else.
std::optional<std::vector<uint32_t>> parse_shape(std::string_view text) {
  std::vector<uint32_t> shape;
  while (!text.empty()) {
    uint32_t extent = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), extent);
    if (error != std::errc() || extent == 0) return std::nullopt;
    shape.push_back(extent);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.empty()) break;
    if (text.front() != ',' || text.size() == 1) return std::nullopt;
    text.remove_prefix(1);
  }
  return shape.empty() ? std::nullopt : std::optional(std::move(shape));
}

// Numbers of a type that a column has; bool is no encoding of MDS.
std::optional<ElementKind> number_kind(const std::string& type) {
  const auto kind = element_kind_named(type == "int" ? "int64" : type);
  const bool good = kind && kind->family != ElementKind::Family::kBool && kind->column_type();
  return good ? kind : std::nullopt;
}

std::optional<MdsColumn> parse_numbers(const std::string& name, const std::string& encoding) {
  MdsColumn column{encoding, MdsColumn::Form::kNumbers, {}, {name, ColumnType::kF32, {}}};
  std::string type = encoding;
  if (encoding.starts_with("ndarray:")) {
    const size_t colon = std::min(encoding.find(':', 8), encoding.size());
    type = encoding.substr(8, colon - 8);
    if (type == "int") return std::nullopt;
    if (colon < encoding.size()) {
      const auto shape = parse_shape(std::string_view(encoding).substr(colon + 1));
      if (!shape) return std::nullopt;
      column.spec.shape = *shape;
    } else {
      column.form = MdsColumn::Form::kArray;
      column.spec.variable = true;
    }
  }
  const auto kind = number_kind(type);
  if (!kind) return std::nullopt;
  column.kind = *kind;
  column.spec.type = *kind->column_type();
  return column;
}

// What to do about an encoding that no column holds.
std::string_view advice(std::string_view encoding) {
  if (encoding == "pkl") return "a pickle is a program, nothing here runs it";
  if (encoding == "json") return "write its numbers as columns of their own, its text as str";
  if (encoding == "str_decimal") return "write it as float64 or str";
  if (encoding == "ndarray") return "write it as ndarray:TYPE or ndarray:TYPE:SHAPE";
  if (encoding.find("uint64") != std::string_view::npos) return "write it as int64";
  for (const std::string_view picture : {"jpeg", "png", "pil"}) {
    if (encoding.find(picture) == std::string_view::npos) continue;
    return "nothing here decodes pictures; write them decoded, as "
           "ndarray:uint8:HEIGHT,WIDTH,CHANNELS, or as bytes";
  }
  return {};
}

void append_list(uint64_t items, std::span<const std::byte> values, std::vector<std::byte>& row) {
  const auto count = static_cast<uint32_t>(items);
  const auto bytes = std::as_bytes(std::span(&count, 1));
  row.insert(row.end(), bytes.begin(), bytes.end());
  row.insert(row.end(), values.begin(), values.end());
}

std::optional<Fault> append_numbers(const MdsColumn& column, std::span<const std::byte> stored,
                                    bool allow_nonfinite, std::vector<std::byte>& row) {
  const size_t at = row.size();
  row.resize(at + stored.size() / column.kind.bytes * element_bytes(column.spec.type));
  const auto values = std::span(row).subspan(at);
  convert_elements(column.kind, stored, values);
  const auto wrong = allow_nonfinite ? std::nullopt : first_nonfinite(column.spec.type, values);
  if (!wrong) return std::nullopt;
  return Fault{Code::kInvalidInput, *wrong * column.kind.bytes,
               fmt::format("a finite number expected, {} found; --allow-nonfinite keeps it",
                           value_text(column.spec.type, values, *wrong))};
}

// Its first byte has the number of dimensions and, in two bits, how many bytes each extent has.
std::optional<Fault> append_array(const MdsColumn& column, std::span<const std::byte> stored,
                                  bool allow_nonfinite, std::vector<std::byte>& row) {
  if (stored.empty()) return Fault{Code::kDataLoss, 0, "the dimensions of an array expected"};
  const auto head = std::to_integer<uint32_t>(stored[0]);
  const uint32_t dimensions = head >> 2;
  const uint64_t extent_bytes = uint64_t{1} << (head & 3);
  if (dimensions != 1) {
    return Fault{Code::kInvalidInput, 0,
                 fmt::format("an array of 1 dimension expected, {} found: a list holds one; where "
                             "all have one shape, write them as {}:SHAPE",
                             dimensions, column.encoding)};
  }
  const uint64_t values_at = 1 + extent_bytes;
  uint64_t count = 0;
  if (stored.size() >= values_at) std::memcpy(&count, stored.data() + 1, extent_bytes);
  if (stored.size() < values_at || (stored.size() - values_at) / column.kind.bytes != count ||
      (stored.size() - values_at) % column.kind.bytes != 0) {
    return Fault{Code::kDataLoss, 0,
                 fmt::format("an array of {} values of {} bytes expected, {} bytes found", count,
                             column.kind.bytes, stored.size())};
  }
  append_list(count, {}, row);
  auto fault = append_numbers(column, stored.subspan(values_at), allow_nonfinite, row);
  if (fault) fault->at += values_at;
  return fault;
}

std::optional<Fault> append_text(const MdsColumn& column, std::span<const std::byte> stored,
                                 bool allow_nonfinite, std::vector<std::byte>& row) {
  const std::string_view text(reinterpret_cast<const char*>(stored.data()), stored.size());
  const size_t at = row.size();
  row.resize(at + column.spec.row_bytes());
  if (parse_number(text, column.spec.type, allow_nonfinite, row.data() + at)) return std::nullopt;
  return Fault{Code::kInvalidInput, 0,
               fmt::format("{} expected, \"{}\" found", expected_number(column.spec.type),
                           text.substr(0, 60))};
}

}  // namespace

Result<MdsColumn> MdsColumn::parse(const std::string& name, const std::string& encoding) {
  if (encoding == "str" || encoding == "bytes") {
    return MdsColumn{encoding, Form::kBytes, {}, {name, ColumnType::kU8, {}, true}};
  }
  if (encoding == "str_int" || encoding == "str_float") {
    const auto type = encoding == "str_int" ? ColumnType::kI64 : ColumnType::kF32;
    return MdsColumn{encoding, Form::kText, {}, {name, type, {}}};
  }
  if (auto column = parse_numbers(name, encoding)) return *std::move(column);
  const std::string_view hint = advice(encoding);
  return Status(Code::kInvalidInput,
                fmt::format("column \"{}\": int, int8 to int64, uint8 to uint32, float16 to "
                            "float64, ndarray with a type of these, str, bytes, str_int or "
                            "str_float expected, {} found{}{}",
                            name, encoding, hint.empty() ? "" : "; ", hint));
}

std::optional<Fault> MdsColumn::append(std::span<const std::byte> stored, bool allow_nonfinite,
                                       std::vector<std::byte>& row) const {
  switch (form) {
    case Form::kNumbers:
      return append_numbers(*this, stored, allow_nonfinite, row);
    case Form::kArray:
      return append_array(*this, stored, allow_nonfinite, row);
    case Form::kText:
      return append_text(*this, stored, allow_nonfinite, row);
    case Form::kBytes:
      break;
  }
  append_list(stored.size(), stored, row);
  return std::nullopt;
}

}  // namespace ballast
