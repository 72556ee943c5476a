#include "worker/data/convert/svm.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "worker/data/convert/line_range.h"
#include "worker/data/convert/number.h"
#include "worker/data/convert/sparse_text.h"

namespace ballast {

namespace {

// A line, cut up and in the order of its indices; views into it.
struct SvmLine {
  struct Entry {
    uint64_t index = 0;
    std::string_view value;
  };
  std::string_view label;  // empty: nothing but a comment
  std::string_view qid;    // empty: none
  std::vector<Entry> entries;
};

std::vector<ColumnSpec> columns_of(const SvmOptions& options) {
  std::vector<ColumnSpec> columns;
  if (options.sparse) {
    columns.push_back({options.ids, options.ids_type, {}, true});
    columns.push_back({options.values, options.features_type, {}, true});
  } else {
    columns.push_back({options.features, options.features_type, {options.width}});
  }
  if (options.qid) columns.push_back({"qid", ColumnType::kI64, {}});
  columns.push_back({options.label, options.label_type, {}});
  return columns;
}

class SvmFormat : public Format {
 public:
  SvmFormat(TextFiles files, const SvmOptions& options)
      : files_(std::move(files)),
        options_(options),
        columns_(columns_of(options)),
        indices_{options.zero_based ? 0u : 1u, options.width,
                 options.sparse ? options.ids_type : ColumnType::kI64} {}

  [[nodiscard]] Status estimate() {
    uint64_t fixed_bytes = options_.sparse ? 2 * sizeof(uint32_t) : 0;
    for (const ColumnSpec& column : columns_) {
      if (!column.variable) fixed_bytes += column.row_bytes();
    }
    if (!options_.sparse) return files_.estimate(fixed_bytes);
    const uint64_t entry_bytes = columns_[0].item_bytes() + columns_[1].item_bytes();
    return files_.estimate([=](std::string_view line) {
      return fixed_bytes + entry_bytes * std::count(line.begin(), line.end(), ':');
    });
  }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return columns_.back().name; }
  const std::vector<std::string>& files() const override { return files_.paths(); }
  const std::vector<Extent>& extents() const override { return files_.extents(); }

  Status read(const SourceRange& range, RowSink& rows) const override {
    BALLAST_ASSIGN(LineRange lines, files_.read(range));
    SvmLine parts;
    std::vector<std::byte> row;
    for (std::string_view line; lines.next(line);) {
      BALLAST_RETURN_IF_ERROR(split(lines, line, parts));
      if (parts.label.empty()) continue;
      row.clear();
      BALLAST_RETURN_IF_ERROR(options_.sparse ? append_lists(lines, parts.entries, row)
                                              : append_dense(lines, parts.entries, row));
      if (options_.qid) BALLAST_RETURN_IF_ERROR(append_qid(lines, parts.qid, row));
      BALLAST_RETURN_IF_ERROR(append_label(lines, parts.label, row));
      BALLAST_RETURN_IF_ERROR(rows.add(row));
    }
    return lines.status();
  }

 private:
  Status split(const LineRange& lines, std::string_view line, SvmLine& parts) const {
    if (line.find('\0') != std::string_view::npos) {
      return lines.refused("text expected, a zero byte found: is it a LibSVM file?");
    }
    std::string_view rest = without_comment(line);
    parts.label = take_word(rest);
    parts.qid = {};
    parts.entries.clear();
    bool rising = true;
    for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
      if (word.starts_with("qid:") && parts.entries.empty() && parts.qid.empty()) {
        BALLAST_RETURN_IF_ERROR(check_qid(lines, word.substr(4)));
        parts.qid = word.substr(4);
        continue;
      }
      SvmLine::Entry entry;
      BALLAST_RETURN_IF_ERROR(take_entry(lines, word, entry));
      rising &= parts.entries.empty() || parts.entries.back().index < entry.index;
      parts.entries.push_back(entry);
    }
    return rising ? Status() : sort(lines, parts.entries);
  }

  Status take_entry(const LineRange& lines, std::string_view word, SvmLine::Entry& entry) const {
    const size_t colon = word.find(':');
    if (colon == std::string_view::npos || !parse_id(word.substr(0, colon), entry.index)) {
      return lines.refused(
          fmt::format("index:value with an index of {} or more expected, \"{}\" "
                      "found",
                      indices_.first, word.substr(0, 60)));
    }
    if (entry.index < indices_.first || entry.index > indices_.last()) {
      return lines.refused(indices_.refusal("index", entry.index));
    }
    entry.value = word.substr(colon + 1);
    return {};
  }

  static Status sort(const LineRange& lines, std::vector<SvmLine::Entry>& entries) {
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.index < b.index; });
    const auto twice =
        std::adjacent_find(entries.begin(), entries.end(),
                           [](const auto& a, const auto& b) { return a.index == b.index; });
    if (twice == entries.end()) return {};
    return lines.refused(
        fmt::format("each index once expected, index {} found twice", twice->index));
  }

  Status append_dense(const LineRange& lines, std::span<const SvmLine::Entry> entries,
                      std::vector<std::byte>& row) const {
    const uint64_t value_bytes = element_bytes(options_.features_type);
    row.resize(options_.width * value_bytes);  // zeros: the row was empty
    for (const SvmLine::Entry& entry : entries) {
      std::byte* at = row.data() + (entry.index - indices_.first) * value_bytes;
      if (!parse_number(entry.value, options_.features_type, options_.allow_nonfinite, at)) {
        return bad_value(lines, entry);
      }
    }
    return {};
  }

  Status append_lists(const LineRange& lines, std::span<const SvmLine::Entry> entries,
                      std::vector<std::byte>& row) const {
    append_count(entries.size(), row);
    for (const SvmLine::Entry& entry : entries) {
      append_id(entry.index - indices_.first, options_.ids_type, row);
    }
    append_count(entries.size(), row);
    for (const SvmLine::Entry& entry : entries) {
      if (!append_number(entry.value, options_.features_type, options_.allow_nonfinite, row)) {
        return bad_value(lines, entry);
      }
    }
    return {};
  }

  Status bad_value(const LineRange& lines, const SvmLine::Entry& entry) const {
    return lines.refused(fmt::format("index {}: {} expected, \"{}\" found", entry.index,
                                     expected_number(options_.features_type),
                                     entry.value.substr(0, 60)));
  }

  static Status check_qid(const LineRange& lines, std::string_view text) {
    std::byte unused[8];
    if (parse_number(text, ColumnType::kI64, false, unused)) return {};
    return lines.refused(
        fmt::format("qid: a whole number expected, \"{}\" found", text.substr(0, 60)));
  }

  static Status append_qid(const LineRange& lines, std::string_view text,
                           std::vector<std::byte>& row) {
    if (append_number(text, ColumnType::kI64, false, row)) return {};
    return lines.refused("qid:N expected behind the label, none found");
  }

  Status append_label(const LineRange& lines, std::string_view text,
                      std::vector<std::byte>& row) const {
    if (append_number(text, options_.label_type, options_.allow_nonfinite, row)) return {};
    return lines.refused(label_refusal(options_.label_type, text));
  }

  TextFiles files_;
  SvmOptions options_;
  std::vector<ColumnSpec> columns_;
  IdRange indices_;
};

}  // namespace

Result<std::unique_ptr<Format>> open_libsvm(std::vector<std::string> sources,
                                            const SvmOptions& options) {
  if (options.width == 0 && !options.sparse) {
    return Status(Code::kInvalidInput,
                  "data convert --format libsvm: --width N expected, the number of features, or "
                  "--sparse for lists of ids and values");
  }
  BALLAST_RETURN_IF_ERROR(check_sparse_types(options.features_type, options.ids_type, "libsvm"));
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
