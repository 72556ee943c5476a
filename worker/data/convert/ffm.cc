#include "worker/data/convert/ffm.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "worker/data/convert/line_range.h"
#include "worker/data/convert/number.h"
#include "worker/data/convert/sparse_text.h"

namespace ballast {

namespace {

// One "field:feature:value"; the value is a view into the line.
struct FfmEntry {
  uint64_t field = 0;
  uint64_t feature = 0;
  std::string_view value;
};

// False: not of that form.
bool parse_entry(std::string_view word, FfmEntry& entry) {
  const size_t first = word.find(':');
  const size_t second = first == std::string_view::npos ? first : word.find(':', first + 1);
  if (second == std::string_view::npos) return false;
  entry.value = word.substr(second + 1);
  return parse_id(word.substr(0, first), entry.field) &&
         parse_id(word.substr(first + 1, second - first - 1), entry.feature);
}

class FfmFormat : public Format {
 public:
  FfmFormat(TextFiles files, const FfmOptions& options)
      : files_(std::move(files)),
        options_(options),
        columns_{{options.fields, options.ids_type, {}, true},
                 {options.ids, options.ids_type, {}, true},
                 {options.values, options.values_type, {}, true},
                 {options.label, options.label_type, {}}} {}

  [[nodiscard]] Status estimate() {
    const uint64_t fixed_bytes = 3 * sizeof(uint32_t) + columns_.back().row_bytes();
    const uint64_t entry_bytes = 2 * columns_[0].item_bytes() + columns_[2].item_bytes();
    return files_.estimate([=](std::string_view line) {
      return fixed_bytes + entry_bytes * std::count(line.begin(), line.end(), ':') / 2;
    });
  }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return columns_.back().name; }
  const std::vector<std::string>& files() const override { return files_.paths(); }
  const std::vector<Extent>& extents() const override { return files_.extents(); }

  Status read(const SourceRange& range, RowSink& rows) const override {
    BALLAST_ASSIGN(LineRange lines, files_.read(range));
    std::vector<FfmEntry> entries;
    std::vector<std::byte> row;
    for (std::string_view line; lines.next(line);) {
      if (line.find('\0') != std::string_view::npos) {
        return lines.refused("text expected, a zero byte found: is it a libffm file?");
      }
      std::string_view rest = without_comment(line);
      const std::string_view label = take_word(rest);
      if (label.empty()) continue;
      BALLAST_RETURN_IF_ERROR(split(lines, rest, entries));
      row.clear();
      BALLAST_RETURN_IF_ERROR(append_lists(lines, entries, row));
      BALLAST_RETURN_IF_ERROR(append_label(lines, label, row));
      BALLAST_RETURN_IF_ERROR(rows.add(row));
    }
    return lines.status();
  }

 private:
  Status split(const LineRange& lines, std::string_view rest,
               std::vector<FfmEntry>& entries) const {
    const IdRange fields{0, 0, options_.ids_type};
    const IdRange features{0, options_.width, options_.ids_type};
    entries.clear();
    for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
      FfmEntry entry;
      if (!parse_entry(word, entry)) {
        return lines.refused(
            fmt::format("field:feature:value, the first two whole numbers from 0, expected, \"{}\" "
                        "found",
                        word.substr(0, 60)));
      }
      if (entry.field > fields.last()) return lines.refused(fields.refusal("field", entry.field));
      if (entry.feature > features.last()) {
        return lines.refused(features.refusal("feature", entry.feature));
      }
      entries.push_back(entry);
    }
    return {};
  }

  Status append_lists(const LineRange& lines, const std::vector<FfmEntry>& entries,
                      std::vector<std::byte>& row) const {
    append_count(entries.size(), row);
    for (const FfmEntry& entry : entries) append_id(entry.field, options_.ids_type, row);
    append_count(entries.size(), row);
    for (const FfmEntry& entry : entries) append_id(entry.feature, options_.ids_type, row);
    append_count(entries.size(), row);
    for (const FfmEntry& entry : entries) {
      if (append_number(entry.value, options_.values_type, options_.allow_nonfinite, row)) continue;
      return lines.refused(fmt::format(
          "feature {} of field {}: {} expected, \"{}\" found", entry.feature, entry.field,
          expected_number(options_.values_type), entry.value.substr(0, 60)));
    }
    return {};
  }

  Status append_label(const LineRange& lines, std::string_view text,
                      std::vector<std::byte>& row) const {
    if (append_number(text, options_.label_type, options_.allow_nonfinite, row)) return {};
    return lines.refused(label_refusal(options_.label_type, text));
  }

  TextFiles files_;
  FfmOptions options_;
  std::vector<ColumnSpec> columns_;
};

}  // namespace

Result<std::unique_ptr<Format>> open_libffm(std::vector<std::string> sources,
                                            const FfmOptions& options) {
  BALLAST_RETURN_IF_ERROR(check_sparse_types(options.values_type, options.ids_type, "libffm"));
  BALLAST_ASSIGN(TextFiles files, TextFiles::open(std::move(sources)));
  BALLAST_ASSIGN(const bool found, files.visit_first_line([](const LineRange&, std::string_view) {
    return Status();
  }));
  if (!found) return files.nothing_found();
  auto format = std::make_unique<FfmFormat>(std::move(files), options);
  BALLAST_RETURN_IF_ERROR(format->estimate());
  return std::unique_ptr<Format>(std::move(format));
}

}  // namespace ballast
