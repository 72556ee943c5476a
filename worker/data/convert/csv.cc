#include "worker/data/convert/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "common/config/nearest.h"
#include "worker/data/convert/line_range.h"
#include "worker/data/convert/number.h"

namespace ballast {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// One quoted field from `line` at `at` (on the opening quote); leaves `at` behind the closing one.
// Nothing: there is none.
std::optional<std::string> unquoted(std::string_view line, size_t& at) {
  std::string text;
  for (++at; at < line.size(); ++at) {
    if (line[at] != '"') {
      text += line[at];
    } else if (at + 1 < line.size() && line[at + 1] == '"') {
      text += line[at++];
    } else {
      ++at;
      return text;
    }
  }
  return std::nullopt;
}

// Views into `line`, or into `quoted` for fields in quotes. What is wrong with it; nothing: null.
[[nodiscard]] const char* split(std::string_view line, char separator,
                                std::vector<std::string_view>& fields,
                                std::vector<std::string>& quoted) {
  fields.clear();
  quoted.clear();
  quoted.reserve(line.size() / 2 + 1);  // views into it stay valid
  size_t at = 0;
  for (;;) {
    if (at < line.size() && line[at] == '"') {
      std::optional<std::string> text = unquoted(line, at);
      if (!text) return "a quote is opened and not closed: a value in quotes ends on its line";
      quoted.push_back(std::move(*text));
      fields.push_back(quoted.back());
      const size_t end = std::min(line.find(separator, at), line.size());
      if (!trimmed(line.substr(at, end - at)).empty()) {
        return "text behind a closing quote: a separator expected; a quote inside a value in "
               "quotes "
               "is written twice";
      }
      at = end;
    } else {
      const size_t end = std::min(line.find(separator, at), line.size());
      fields.push_back(trimmed(line.substr(at, end - at)));
      at = end;
    }
    if (at >= line.size()) return nullptr;
    ++at;
  }
}

// The usual line: no quotes.
void split_plain(std::string_view line, char separator, std::vector<std::string_view>& fields) {
  fields.clear();
  for (;;) {
    const size_t end = std::min(line.find(separator), line.size());
    fields.push_back(trimmed(line.substr(0, end)));
    if (end == line.size()) return;
    line.remove_prefix(end + 1);
  }
}

// Where each field of a line goes in the row.
struct CsvLayout {
  std::vector<std::string> names;  // of the fields; their numbers when there is no header
  std::vector<ColumnType> types;
  std::vector<size_t> offsets;  // of the field's value in the row
  std::vector<ColumnSpec> columns;
};

Result<size_t> find_field(const std::string& which, const std::vector<std::string>& names,
                          const std::string& path, bool has_header) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == which) return i;
  }
  std::byte bytes[8];
  if (parse_number(which, ColumnType::kI64, false, bytes)) {
    int64_t number = 0;
    std::memcpy(&number, bytes, sizeof number);
    const auto count = static_cast<int64_t>(names.size());
    if (number < 0) number += count;
    if (number >= 0 && number < count) return static_cast<size_t>(number);
    return Status(Code::kInvalidInput,
                  fmt::format("{}: column {}: -{} to {} expected", path, which, count, count - 1));
  }
  const std::string hint = did_you_mean(which, names);
  return Status(Code::kInvalidInput,
                fmt::format("{}: no column \"{}\"{} it has: {}", path, which,
                            hint.empty() ? ";" : hint, fmt::join(names, ", ")) +
                    (has_header ? "" : "; if line 1 names the columns, add --header"));
}

Status check_shape(const ColumnSpec& column, uint64_t values, const std::string& path) {
  if (column.width() == values) return {};
  return Status(Code::kInvalidInput,
                fmt::format("{}: shape [{}] has {} values, a line has {} "
                            "feature columns",
                            path, fmt::join(column.shape, ", "), column.width(), values));
}

Status check_names(const std::vector<std::string>& names, const std::string& path) {
  std::map<std::string_view, size_t> known;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [first, is_new] = known.emplace(names[i], i);
    if (is_new) continue;
    return Status(
        Code::kInvalidInput,
        fmt::format("{}: columns {} and {} are both named \"{}\": give each its own name, "
                    "or leave --header out if line 1 is no header",
                    path, first->second, i, names[i]));
  }
  return {};
}

// What may be wrong with a line that has one column, or another number of them than the first.
std::string separator_hint(std::string_view line, char separator) {
  for (const char other : {',', ';', '\t', '|'}) {
    if (other == separator || line.find(other) == std::string_view::npos) continue;
    return fmt::format("; if columns are separated by {}, add --separator {}",
                       other == '\t' ? "tabs" : fmt::format("\"{}\"", other),
                       other == '\t' ? "tab" : fmt::format("'{}'", other));
  }
  return {};
}

// Columns: the joined features, the columns of their own, the label.
Result<CsvLayout> make_layout(const CsvOptions& options, std::vector<std::string> names,
                              const std::string& path) {
  BALLAST_ASSIGN(const size_t label, find_field(options.label, names, path, options.header));
  constexpr size_t kJoined = ~size_t{0};
  std::vector<size_t> column_of(names.size(), kJoined);
  CsvLayout layout;
  layout.types.assign(names.size(), options.features_type);
  for (const OwnColumn& own : options.own_columns) {
    BALLAST_ASSIGN(const size_t field, find_field(own.which, names, path, options.header));
    if (field == label || column_of[field] != kJoined) {
      return Status(Code::kInvalidInput,
                    fmt::format("{}: column \"{}\" is used twice", path, names[field]));
    }
    column_of[field] = layout.columns.size();
    layout.columns.push_back(
        {options.header ? names[field] : "column_" + names[field], own.type, {}});
    layout.types[field] = own.type;
  }
  column_of[label] = layout.columns.size();
  layout.columns.push_back({options.header ? names[label] : "label", options.label_type, {}});
  layout.types[label] = options.label_type;

  const uint64_t joined = names.size() - layout.columns.size();
  ColumnSpec features{options.features, options.features_type, options.shape};
  if (features.shape.empty()) features.shape = {static_cast<uint32_t>(joined)};
  uint64_t joined_offset = 0;
  uint64_t own_offset = joined * element_bytes(options.features_type);
  if (joined > 0) BALLAST_RETURN_IF_ERROR(check_shape(features, joined, path));
  std::vector<uint64_t> own_offsets;
  for (const ColumnSpec& column : layout.columns) {
    own_offsets.push_back(own_offset);
    own_offset += column.row_bytes();
  }
  for (size_t field = 0; field < names.size(); ++field) {
    const bool is_joined = column_of[field] == kJoined;
    layout.offsets.push_back(is_joined ? joined_offset : own_offsets[column_of[field]]);
    if (is_joined) joined_offset += element_bytes(options.features_type);
  }
  if (joined > 0) layout.columns.insert(layout.columns.begin(), features);
  layout.names = std::move(names);
  return layout;
}

// The fields of a line: views into it, or into `quoted` for those in quotes.
struct CsvLine {
  std::vector<std::string_view> values;
  std::vector<std::string> quoted;
};

[[nodiscard]] Status split_line(const LineRange& lines, std::string_view line, char separator,
                                CsvLine& fields) {
  if (std::memchr(line.data(), '\0', line.size()) != nullptr) {
    return lines.refused("text in UTF-8 expected, a zero byte found: is it a CSV file?");
  }
  if (std::memchr(line.data(), '"', line.size()) == nullptr) {
    split_plain(line, separator, fields.values);
    return {};
  }
  const char* wrong = split(line, separator, fields.values, fields.quoted);
  return wrong == nullptr ? Status() : lines.refused(wrong);
}

// The first line fixes how many columns there are and what they are called.
Result<CsvLayout> layout_of(const LineRange& lines, std::string_view line, const std::string& path,
                            const CsvOptions& options) {
  CsvLine fields;
  BALLAST_RETURN_IF_ERROR(split_line(lines, line, options.separator, fields));
  if (fields.values.size() == 1) {
    const std::string hint = separator_hint(line, options.separator);
    if (!hint.empty()) return lines.refused("one column found" + hint);
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < fields.values.size(); ++i) {
    names.push_back(options.header ? std::string(fields.values[i]) : std::to_string(i));
  }
  BALLAST_RETURN_IF_ERROR(check_names(names, path));
  return make_layout(options, std::move(names), path);
}

class CsvFormat : public Format {
 public:
  CsvFormat(TextFiles files, const CsvOptions& options, CsvLayout layout)
      : files_(std::move(files)), options_(options), layout_(std::move(layout)) {
    for (const ColumnSpec& column : layout_.columns) row_bytes_ += column.row_bytes();
  }
  [[nodiscard]] Status estimate() { return files_.estimate(row_bytes_); }

  const std::vector<ColumnSpec>& columns() const override { return layout_.columns; }
  const std::string& label() const override { return layout_.columns.back().name; }
  const std::vector<std::string>& files() const override { return files_.paths(); }
  const std::vector<Extent>& extents() const override { return files_.extents(); }

  Status read(const SourceRange& range, RowSink& rows) const override {
    BALLAST_ASSIGN(LineRange lines, files_.read(range));
    CsvLine fields;
    std::vector<std::byte> row(row_bytes_);
    bool header_due = options_.header && range.begin == 0;
    bool is_first = !options_.header && range.begin == 0;
    for (std::string_view line; lines.next(line);) {
      if (trimmed(line).empty()) continue;
      BALLAST_RETURN_IF_ERROR(split_line(lines, line, options_.separator, fields));
      if (fields.values.size() != layout_.names.size()) return wrong_count(lines, line, fields);
      if (std::exchange(header_due, false)) continue;
      BALLAST_RETURN_IF_ERROR(parse(lines, fields, is_first, row));
      BALLAST_RETURN_IF_ERROR(rows.add(row));
      is_first = false;
    }
    return lines.status();
  }

 private:
  Status wrong_count(const LineRange& lines, std::string_view line, const CsvLine& fields) const {
    return lines.refused(fmt::format("{} columns expected, {} found{}", layout_.names.size(),
                                     fields.values.size(),
                                     separator_hint(line, options_.separator)));
  }

  [[nodiscard]] Status parse(const LineRange& lines, const CsvLine& fields, bool is_first,
                             std::span<std::byte> row) const {
    for (size_t i = 0; i < fields.values.size(); ++i) {
      if (parse_number(fields.values[i], layout_.types[i], options_.allow_nonfinite,
                       row.data() + layout_.offsets[i])) {
        continue;
      }
      return Status(
          Code::kInvalidInput,
          fmt::format("{}, column {}: {} expected, \"{}\" found{}", lines.place(), layout_.names[i],
                      expected_number(layout_.types[i]), fields.values[i].substr(0, 60),
                      is_first ? "; if the first line names the columns, add --header" : ""));
    }
    return {};
  }

  TextFiles files_;
  CsvOptions options_;
  CsvLayout layout_;
  uint64_t row_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Format>> open_csv(std::vector<std::string> sources,
                                         const CsvOptions& options) {
  BALLAST_ASSIGN(TextFiles files, TextFiles::open(std::move(sources)));
  CsvLayout layout;
  const auto take_layout = [&](const LineRange& lines, std::string_view line) -> Status {
    BALLAST_ASSIGN(layout, layout_of(lines, line, files.paths().front(), options));
    return {};
  };
  BALLAST_ASSIGN(const bool found, files.visit_first_line(take_layout));
  if (!found) return files.nothing_found();
  auto format = std::make_unique<CsvFormat>(std::move(files), options, std::move(layout));
  BALLAST_RETURN_IF_ERROR(format->estimate());
  return std::unique_ptr<Format>(std::move(format));
}

Result<ColumnType> parse_column_type(const std::string& name) {
  for (ColumnType type :
       {ColumnType::kU8, ColumnType::kI32, ColumnType::kI64, ColumnType::kF16, ColumnType::kF32}) {
    if (name == column_type_name(type)) return type;
  }
  return Status(Code::kInvalidInput,
                "type \"" + name + "\": one of u8, i32, i64, f16, f32 expected");
}

}  // namespace ballast
