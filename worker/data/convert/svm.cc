#include "worker/data/convert/svm.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "worker/data/convert/line_range.h"
#include "worker/data/convert/number.h"

namespace ballast {

namespace {

constexpr std::string_view kBlank = " \t";

// The next word of `line`, which loses it; empty at the end.
std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlank));
  line.remove_prefix(word.size());
  return word;
}

std::string_view without_comment(std::string_view line) {
  return line.substr(0, line.find('#'));
}

bool parse_index(std::string_view text, uint64_t& index) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return error == std::errc() && end == text.data() + text.size();
}

class SvmFormat : public Format {
 public:
  SvmFormat(TextFiles files, const SvmOptions& options)
      : files_(std::move(files)),
        options_(options),
        columns_{{options.features, options.features_type, {options.width}}} {
    if (options.qid) columns_.push_back({"qid", ColumnType::kI64, {}});
    columns_.push_back({options.label, options.label_type, {}});
    for (const ColumnSpec& column : columns_) row_bytes_ += column.row_bytes();
  }
  [[nodiscard]] Status estimate() { return files_.estimate(row_bytes_); }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return columns_.back().name; }
  const std::vector<std::string>& files() const override { return files_.paths(); }
  const std::vector<Extent>& extents() const override { return files_.extents(); }

  Status read(const SourceRange& range, RowSink& rows) const override {
    BALLAST_ASSIGN(LineRange lines, files_.read(range));
    std::vector<std::byte> row(row_bytes_);
    for (std::string_view line; lines.next(line);) {
      if (line.find('\0') != std::string_view::npos) {
        return lines.refused("text expected, a zero byte found: is it a LibSVM file?");
      }
      std::string_view rest = without_comment(line);
      const std::string_view label = take_word(rest);
      if (label.empty()) continue;
      std::fill(row.begin(), row.end(), std::byte{0});
      BALLAST_RETURN_IF_ERROR(store_label(lines, label, row));
      BALLAST_RETURN_IF_ERROR(store_values(lines, rest, row));
      BALLAST_RETURN_IF_ERROR(rows.add(row));
    }
    return lines.status();
  }

 private:
  Status store_label(const LineRange& lines, std::string_view text,
                     std::span<std::byte> row) const {
    std::byte* at = row.data() + row_bytes_ - columns_.back().row_bytes();
    if (parse_number(text, options_.label_type, options_.allow_nonfinite, at)) return {};
    return lines.refused(fmt::format(
        "label: {} expected, \"{}\" found{}", expected_number(options_.label_type),
        text.substr(0, 60),
        is_integer(options_.label_type) ? "; a label with a fraction needs --label-type f32" : ""));
  }

  Status store_values(const LineRange& lines, std::string_view rest,
                      std::span<std::byte> row) const {
    const uint64_t least = options_.zero_based ? 0 : 1;
    uint64_t next = least;  // the smallest index that may follow
    bool qid_due = options_.qid;
    for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
      if (word.starts_with("qid:") && next == least) {
        BALLAST_RETURN_IF_ERROR(store_qid(lines, word.substr(4), row));
        qid_due = false;
        continue;
      }
      const size_t colon = word.find(':');
      uint64_t index = 0;
      if (colon == std::string_view::npos || !parse_index(word.substr(0, colon), index)) {
        return lines.refused(
            fmt::format("index:value with an index of {} or more expected, \"{}\" "
                        "found",
                        least, word.substr(0, 60)));
      }
      BALLAST_RETURN_IF_ERROR(check_index(lines, index, next));
      next = index + 1;
      std::byte* at = row.data() + (index - least) * element_bytes(options_.features_type);
      if (!parse_number(word.substr(colon + 1), options_.features_type, options_.allow_nonfinite,
                        at)) {
        return lines.refused(fmt::format("index {}: {} expected, \"{}\" found", index,
                                         expected_number(options_.features_type),
                                         word.substr(colon + 1, 60)));
      }
    }
    return qid_due ? lines.refused("qid:N expected behind the label, none found") : Status();
  }

  Status store_qid(const LineRange& lines, std::string_view text, std::span<std::byte> row) const {
    std::byte unused[8];
    std::byte* at = options_.qid ? row.data() + columns_[0].row_bytes() : unused;
    if (parse_number(text, ColumnType::kI64, false, at)) return {};
    return lines.refused(
        fmt::format("qid: a whole number expected, \"{}\" found", text.substr(0, 60)));
  }

  Status check_index(const LineRange& lines, uint64_t index, uint64_t next) const {
    const uint64_t least = options_.zero_based ? 0 : 1;
    const uint64_t most = least + options_.width - 1;
    if (index < least || index > most) {
      return lines.refused(fmt::format("index {} found, {} to {} expected by --width {}{}", index,
                                       least, most, options_.width,
                                       index == 0 ? "; indices from 0 need --zero-based" : ""));
    }
    if (index >= next) return {};
    return lines.refused(
        fmt::format("index {} follows {}: rising indices expected", index, next - 1));
  }

  TextFiles files_;
  SvmOptions options_;
  std::vector<ColumnSpec> columns_;
  uint64_t row_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Format>> open_libsvm(std::vector<std::string> sources,
                                            const SvmOptions& options) {
  if (options.width == 0) {
    return Status(Code::kInvalidInput,
                  "data convert --format libsvm: --width N expected, the number of features");
  }
  if (is_integer(options.features_type)) {
    return Status(Code::kInvalidInput, fmt::format("--features-type {}: f32 or f16 expected for "
                                                   "libsvm",
                                                   column_type_name(options.features_type)));
  }
  BALLAST_ASSIGN(TextFiles files, TextFiles::open(std::move(sources)));
  BALLAST_ASSIGN(const bool found, files.visit_first_line([](const LineRange&, std::string_view) {
    return Status();
  }));
  if (!found) return files.nothing_found();
  auto format = std::make_unique<SvmFormat>(std::move(files), options);
  BALLAST_RETURN_IF_ERROR(format->estimate());
  return std::unique_ptr<Format>(std::move(format));
}

}  // namespace ballast
