#include "worker/data/convert/criteo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "worker/data/convert/line_range.h"

namespace ballast {

namespace {

constexpr size_t kDense = 13;
constexpr size_t kCategories = 26;
constexpr size_t kFields = 1 + kDense + kCategories;
constexpr uint64_t kRecordBytes = 4 * kFields;

// One row as 40 numbers of 32 bits: what both files have, and what a row is made from.
struct CriteoRow {
  int32_t label = 0;
  std::array<int32_t, kDense> dense{};
  std::array<uint32_t, kCategories> categories{};
};

template <typename Value>
std::byte* put(std::byte* at, Value value) {
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

// CriteoRow -> the bytes of the columns in the types asked for.
class CriteoColumns {
 public:
  static Result<CriteoColumns> make(const CriteoOptions& options) {
    BALLAST_RETURN_IF_ERROR(
        check("--features-type", options.features_type, ColumnType::kF32, ColumnType::kI32));
    BALLAST_RETURN_IF_ERROR(
        check("--categories-type", options.categories_type, ColumnType::kI32, ColumnType::kI64));
    BALLAST_RETURN_IF_ERROR(
        check("--label-type", options.label_type, ColumnType::kI32, ColumnType::kU8));
    return CriteoColumns(options);
  }

  [[nodiscard]] const std::vector<ColumnSpec>& specs() const { return specs_; }
  [[nodiscard]] uint64_t row_bytes() const { return row_bytes_; }

  // False: the label does not fit its type.
  [[nodiscard]] bool store(const CriteoRow& row, std::byte* at) const {
    if (specs_[0].type == ColumnType::kI32) {
      at = std::copy_n(reinterpret_cast<const std::byte*>(row.dense.data()), 4 * kDense, at);
    } else {
      for (const int32_t value : row.dense) at = put(at, static_cast<float>(value));
    }
    if (specs_[1].type == ColumnType::kI32) {
      at = std::copy_n(reinterpret_cast<const std::byte*>(row.categories.data()), 4 * kCategories,
                       at);
    } else {
      for (const uint32_t value : row.categories) at = put(at, int64_t{value});
    }
    if (specs_[2].type == ColumnType::kI32) {
      put(at, row.label);
      return true;
    }
    put(at, static_cast<uint8_t>(row.label));
    return row.label >= 0 && row.label <= std::numeric_limits<uint8_t>::max();
  }

 private:
  explicit CriteoColumns(const CriteoOptions& options)
      : specs_{{options.features, options.features_type, {kDense}},
               {options.categories, options.categories_type, {kCategories}},
               {options.label, options.label_type, {}}} {
    for (const ColumnSpec& spec : specs_) row_bytes_ += spec.row_bytes();
  }
  static Status check(const char* option, ColumnType type, ColumnType first, ColumnType second) {
    if (type == first || type == second) return {};
    return Status(Code::kInvalidInput,
                  fmt::format("{} {}: {} or {} expected for criteo", option, column_type_name(type),
                              column_type_name(first), column_type_name(second)));
  }

  std::vector<ColumnSpec> specs_;
  uint64_t row_bytes_ = 0;
};

constexpr uint8_t kNoDigit = 16;

constexpr std::array<uint8_t, 256> hex_digits() {
  std::array<uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (uint8_t i = 0; i < 10; ++i) digits['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) {
    digits['a' + i] = static_cast<uint8_t>(10 + i);
    digits['A' + i] = static_cast<uint8_t>(10 + i);
  }
  return digits;
}
constexpr std::array<uint8_t, 256> kHexDigits = hex_digits();

// A whole number up to the next tab or the end. False: none, or out of range.
bool take_integer(const char*& at, const char* end, int32_t& value) {
  const bool minus = at != end && *at == '-';
  if (minus) ++at;
  const char* first = at;
  uint64_t digits = 0;  // wraps where there are too many
  for (; at != end && *at >= '0' && *at <= '9'; ++at) {
    digits = digits * 10 + static_cast<uint64_t>(*at - '0');
  }
  if (at == first || at - first > 10 || (at != end && *at != '\t')) return false;
  const int64_t number = minus ? -static_cast<int64_t>(digits) : static_cast<int64_t>(digits);
  value = static_cast<int32_t>(number);
  return value == number;
}

// 1 to 8 hex digits up to the next tab or the end.
bool take_hex(const char*& at, const char* end, uint32_t& value) {
  const char* first = at;
  uint32_t number = 0;
  for (; at != end && *at != '\t'; ++at) {
    const uint8_t digit = kHexDigits[static_cast<uint8_t>(*at)];
    if (digit == kNoDigit) return false;
    number = number << 4 | digit;
  }
  value = number;
  return at != first && at - first <= 8;
}

// The field at `at`, or `missing` where it is empty; then the tab behind it.
template <typename Value, typename Take>
bool take_field(const char*& at, const char* end, Value missing, Take take, Value& value) {
  if (at == end || *at != '\t') return false;
  ++at;
  if (at != end && *at != '\t') return take(at, end, value);
  value = missing;
  return true;
}

class CriteoTsvFormat : public Format {
 public:
  CriteoTsvFormat(TextFiles files, const CriteoOptions& options, CriteoColumns columns)
      : files_(std::move(files)), options_(options), columns_(std::move(columns)) {}

  const std::vector<ColumnSpec>& columns() const override { return columns_.specs(); }
  const std::string& label() const override { return columns_.specs().back().name; }
  const std::vector<std::string>& files() const override { return files_.paths(); }
  const std::vector<Extent>& extents() const override { return files_.extents(); }

  Status read(const SourceRange& range, RowSink& rows) const override {
    BALLAST_ASSIGN(LineRange lines, files_.read(range));
    std::vector<std::byte> row(columns_.row_bytes());
    CriteoRow values;
    for (std::string_view line; lines.next(line);) {
      if (line.empty()) continue;
      if (!parse(line, values) || !columns_.store(values, row.data())) {
        return diagnose(lines, line);
      }
      BALLAST_RETURN_IF_ERROR(rows.add(row));
    }
    return lines.status();
  }

 private:
  bool parse(std::string_view line, CriteoRow& row) const {
    const char* at = line.data();
    const char* end = at + line.size();
    if (!take_integer(at, end, row.label)) return false;
    for (int32_t& value : row.dense) {
      if (!take_field(at, end, options_.missing, take_integer, value)) return false;
    }
    for (uint32_t& value : row.categories) {
      if (!take_field(at, end, options_.missing_category, take_hex, value)) return false;
    }
    return at == end;
  }

  // Why parse() or store() refused the line.
  Status diagnose(const LineRange& lines, std::string_view line) const {
    if (line.find('\0') != std::string_view::npos) {
      return lines.refused("text expected, a zero byte found: is it a Criteo TSV file?");
    }
    const auto fields = static_cast<size_t>(std::count(line.begin(), line.end(), '\t')) + 1;
    if (fields != kFields) {
      return lines.refused(fmt::format(
          "40 fields separated by tabs expected (label, 13 whole numbers, 26 hex), {} found",
          fields));
    }
    for (size_t field = 0; field < kFields; ++field) {
      const std::string_view text = line.substr(0, line.find('\t'));
      if (!is_good(field, text)) {
        return lines.refused(fmt::format("field {}: {} expected, \"{}\" found", field,
                                         expected(field), text.substr(0, 60)));
      }
      line.remove_prefix(std::min(text.size() + 1, line.size()));
    }
    return lines.refused("a Criteo line expected");
  }
  bool is_good(size_t field, std::string_view text) const {
    const char* at = text.data();
    const char* end = at + text.size();
    if (field > kDense) {
      uint32_t category = 0;
      return text.empty() || take_hex(at, end, category);
    }
    CriteoRow row;
    if (field > 0) return text.empty() || take_integer(at, end, row.label);
    std::vector<std::byte> stored(columns_.row_bytes());
    return take_integer(at, end, row.label) && columns_.store(row, stored.data());
  }
  std::string expected(size_t field) const {
    if (field > kDense) return "1 to 8 hex digits or nothing";
    if (field > 0) return "a whole number of 32 bits or nothing";
    return fmt::format("a label of type {}", column_type_name(options_.label_type));
  }

  TextFiles files_;
  CriteoOptions options_;
  CriteoColumns columns_;
};

class CriteoBinFormat : public Format {
 public:
  CriteoBinFormat(std::vector<std::string> files, std::vector<Extent> extents,
                  CriteoColumns columns)
      : files_(std::move(files)), extents_(std::move(extents)), columns_(std::move(columns)) {}

  const std::vector<ColumnSpec>& columns() const override { return columns_.specs(); }
  const std::string& label() const override { return columns_.specs().back().name; }
  const std::vector<std::string>& files() const override { return files_; }
  const std::vector<Extent>& extents() const override { return extents_; }

  Status read(const SourceRange& range, RowSink& rows) const override {
    constexpr uint64_t kRecordsAtOnce = 4096;
    const std::string& path = files_[range.source];
    BALLAST_ASSIGN(ByteSource source, ByteSource::open(path, range.begin * kRecordBytes));
    std::vector<std::byte> records(kRecordsAtOnce * kRecordBytes);
    std::vector<std::byte> row(columns_.row_bytes());
    for (uint64_t at = range.begin; at < range.end;) {
      const uint64_t count = std::min(kRecordsAtOnce, range.end - at);
      const auto wanted = std::span(records).first(count * kRecordBytes);
      BALLAST_RETURN_IF_ERROR(source.read_all(wanted, "records of 160 bytes"));
      for (uint64_t i = 0; i < count; ++i) {
        CriteoRow values;
        static_assert(sizeof values == kRecordBytes);
        std::memcpy(&values, records.data() + i * kRecordBytes, kRecordBytes);
        if (!columns_.store(values, row.data())) return bad_label(path, at + i, values.label);
        BALLAST_RETURN_IF_ERROR(rows.add(row));
      }
      at += count;
    }
    return {};
  }

 private:
  Status bad_label(const std::string& path, uint64_t record, int32_t label) const {
    return Status(
        Code::kInvalidInput,
        fmt::format("{} at byte {}: a label of type {} expected, {} found", path,
                    record * kRecordBytes, column_type_name(columns_.specs()[2].type), label));
  }

  std::vector<std::string> files_;
  std::vector<Extent> extents_;
  CriteoColumns columns_;
};

}  // namespace

Result<std::unique_ptr<Format>> open_criteo_tsv(std::vector<std::string> sources,
                                                const CriteoOptions& options) {
  BALLAST_ASSIGN(CriteoColumns columns, CriteoColumns::make(options));
  BALLAST_ASSIGN(TextFiles files, TextFiles::open(std::move(sources)));
  BALLAST_ASSIGN(const bool found, files.visit_first_line([](const LineRange&, std::string_view) {
    return Status();
  }));
  if (!found) return files.nothing_found();
  BALLAST_RETURN_IF_ERROR(files.estimate(columns.row_bytes()));
  return std::unique_ptr<Format>(
      std::make_unique<CriteoTsvFormat>(std::move(files), options, std::move(columns)));
}

Result<std::unique_ptr<Format>> open_criteo_bin(std::vector<std::string> sources,
                                                const CriteoOptions& options) {
  BALLAST_ASSIGN(CriteoColumns columns, CriteoColumns::make(options));
  std::vector<Extent> extents;
  uint64_t records = 0;
  for (const std::string& path : sources) {
    BALLAST_ASSIGN(const SourceFile file, inspect_source(path));
    if (file.bytes % kRecordBytes != 0) {
      return Status(
          Code::kDataLoss,
          fmt::format("{} at byte {}: a record of 160 bytes expected, {} found: cut "
                      "short, or not made of 40 int32 a row",
                      path, file.bytes / kRecordBytes * kRecordBytes, file.bytes % kRecordBytes));
    }
    const uint64_t count = file.bytes / kRecordBytes;
    extents.push_back({count, count * columns.row_bytes(), true});
    records += count;
  }
  if (records == 0) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: at least one record of 160 bytes expected, none found",
                              fmt::join(sources, ", ")));
  }
  return std::unique_ptr<Format>(std::make_unique<CriteoBinFormat>(
      std::move(sources), std::move(extents), std::move(columns)));
}

}  // namespace ballast
