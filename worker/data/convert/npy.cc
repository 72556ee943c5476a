#include "worker/data/convert/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "common/config/nearest.h"
#include "worker/data/column_values.h"
#include "worker/data/convert/element_kind.h"
#include "worker/data/file.h"

namespace ballast {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kHeaderBytesMax = 1u << 20;
constexpr uint64_t kReadBytes = 256u << 10;  // of one array at a time, or one row

struct NpyArray {
  File file;
  ElementKind kind;
  ColumnSpec spec;
  uint64_t rows = 0;
  uint64_t data_offset = 0;

  [[nodiscard]] uint64_t stored_row_bytes() const { return spec.width() * kind.bytes; }
};

Status refused(const std::string& path, uint64_t byte, const std::string& what) {
  return Status(Code::kInvalidInput, fmt::format("{} at byte {}: {}", path, byte, what));
}

// The text behind 'key': in the header, a Python literal that NumPy writes and nothing else.
std::optional<std::string_view> entry(std::string_view header, std::string_view key) {
  for (const char quote : {'\'', '"'}) {
    const size_t at = header.find(fmt::format("{}{}{}", quote, key, quote));
    if (at == std::string_view::npos) continue;
    std::string_view rest = header.substr(at + key.size() + 2);
    const size_t value = rest.find_first_not_of(" :");
    if (value != std::string_view::npos) return rest.substr(value);
  }
  return std::nullopt;
}

// "<f4" with its quotes.
std::optional<ElementKind> parse_descr(std::string_view text) {
  if (text.size() < 5 || (text[0] != '\'' && text[0] != '"')) return std::nullopt;
  const size_t end = text.find(text[0], 1);
  if (end != 4) return std::nullopt;
  ElementKind kind;
  kind.big_endian = text[1] == '>';
  if (!kind.big_endian && text[1] != '<' && text[1] != '|' && text[1] != '=') return std::nullopt;
  switch (text[2]) {
    case 'b':
      kind.family = ElementKind::Family::kBool;
      break;
    case 'i':
      kind.family = ElementKind::Family::kSigned;
      break;
    case 'u':
      kind.family = ElementKind::Family::kUnsigned;
      break;
    case 'f':
      break;
    default:
      return std::nullopt;
  }
  if (text[3] < '1' || text[3] > '8') return std::nullopt;
  kind.bytes = static_cast<uint8_t>(text[3] - '0');
  return kind;
}

// "(60000, 28, 28)". Nothing: no tuple of whole numbers.
std::optional<std::vector<uint64_t>> parse_shape(std::string_view text) {
  if (!text.starts_with('(')) return std::nullopt;
  const size_t end = text.find(')');
  if (end == std::string_view::npos) return std::nullopt;
  text = text.substr(1, end - 1);
  std::vector<uint64_t> shape;
  while (text.find_first_not_of(" ,") != std::string_view::npos) {
    text.remove_prefix(text.find_first_not_of(" ,"));
    uint64_t extent = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), extent);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(stop - text.data()));
    shape.push_back(extent);
  }
  return shape;
}

struct NpyHead {
  std::string text;
  uint64_t offset = 0;  // of the text
  [[nodiscard]] uint64_t end() const { return offset + text.size(); }
};

Result<NpyHead> read_head(const File& file) {
  const std::string& path = file.path();
  if (file.size() < 12) {
    return Status(Code::kDataLoss, fmt::format("{}: a NumPy header of at least 12 bytes expected, "
                                               "{} found",
                                               path, file.size()));
  }
  std::byte start[12];
  BALLAST_RETURN_IF_ERROR(file.read_at(0, start));
  if (std::memcmp(start, kMagic.data(), kMagic.size()) != 0) {
    return refused(path, 0, "\"\\x93NUMPY\" expected: is it a .npy file?");
  }
  const auto major = static_cast<unsigned>(start[6]);
  if (major < 1 || major > 3) {
    return refused(path, 6, fmt::format("version 1, 2 or 3 expected, {} found", major));
  }
  NpyHead head;
  head.offset = major == 1 ? 10 : 12;
  uint64_t bytes = 0;
  for (size_t i = 0; i < head.offset - 8; ++i) {
    bytes |= static_cast<uint64_t>(start[8 + i]) << (8 * i);
  }
  if (bytes > kHeaderBytesMax || head.offset + bytes > file.size()) {
    return Status(Code::kDataLoss,
                  fmt::format("{} at byte 8: a header of {} bytes is said, the file has {}", path,
                              bytes, file.size()));
  }
  head.text.resize(bytes);
  BALLAST_RETURN_IF_ERROR(file.read_at(head.offset, std::as_writable_bytes(std::span(head.text))));
  return head;
}

Result<ElementKind> kind_in(const NpyHead& head, const std::string& path) {
  const auto descr = entry(head.text, "descr");
  const auto kind = descr ? parse_descr(*descr) : std::nullopt;
  if (kind && kind->column_type()) return *kind;
  return refused(path, head.offset,
                 fmt::format("a dtype of bool, int8 to int64, uint8 to uint32 or float16 to "
                             "float64 expected, {} found; convert it with astype",
                             descr ? descr->substr(0, descr->find_first_of(",}")) : "none"));
}

// rows and the shape of one.
Status shape_in(const NpyHead& head, NpyArray& array) {
  const std::string& path = array.file.path();
  const auto text = entry(head.text, "shape");
  const auto shape = text ? parse_shape(*text) : std::nullopt;
  if (!shape) return refused(path, head.offset, "a 'shape' of whole numbers expected");
  if (shape->empty()) return refused(path, head.offset, "rows expected, a single value found");
  uint64_t width = 1;
  for (size_t i = 1; i < shape->size(); ++i) {
    const uint64_t extent = (*shape)[i];
    if (extent == 0 || extent > (1u << 30) / width) {
      return refused(path, head.offset,
                     fmt::format("rows of 1 to 2^30 values expected, shape ({}) found",
                                 fmt::join(*shape, ", ")));
    }
    width *= extent;
    array.spec.shape.push_back(static_cast<uint32_t>(extent));
  }
  array.rows = shape->front();
  const bool fortran = entry(head.text, "fortran_order").value_or("").starts_with("True");
  if (fortran && shape->size() > 1) {
    return refused(path, head.offset,
                   "C order expected, Fortran order found; save numpy.ascontiguousarray(...)");
  }
  return {};
}

Status check_size(const NpyArray& array) {
  const uint64_t left = array.file.size() - array.data_offset;
  const uint64_t row_bytes = array.stored_row_bytes();
  if (left % row_bytes == 0 && left / row_bytes == array.rows) return {};
  return Status(Code::kDataLoss,
                fmt::format("{} at byte {}: {} rows of {} bytes expected behind "
                            "the header, {} bytes found",
                            array.file.path(), array.data_offset, array.rows, row_bytes, left));
}

Result<NpyArray> open_array(const NpyColumn& column) {
  BALLAST_ASSIGN(File file, File::open(column.path));
  BALLAST_ASSIGN(const NpyHead head, read_head(file));
  BALLAST_ASSIGN(const ElementKind kind, kind_in(head, column.path));
  NpyArray array{std::move(file), kind, {column.name, *kind.column_type(), {}}, 0, head.end()};
  BALLAST_RETURN_IF_ERROR(shape_in(head, array));
  BALLAST_RETURN_IF_ERROR(check_size(array));
  return array;
}

class NpyFormat : public Format {
 public:
  NpyFormat(std::vector<NpyArray> arrays, const NpyOptions& options)
      : arrays_(std::move(arrays)),
        label_(options.label),
        allow_nonfinite_(options.allow_nonfinite) {
    for (const NpyArray& array : arrays_) {
      columns_.push_back(array.spec);
      files_.push_back(array.file.path());
      row_bytes_ += array.spec.row_bytes();
      widest_ = std::max(widest_, array.stored_row_bytes());
    }
    extents_ = {{arrays_.front().rows, arrays_.front().rows * row_bytes_, true}};
  }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return label_; }
  const std::vector<std::string>& files() const override { return files_; }
  const std::vector<Extent>& extents() const override { return extents_; }

  // Some rows of every array at a time, then put together row by row.
  Status read(const SourceRange& range, RowSink& rows) const override {
    const uint64_t at_once = std::clamp<uint64_t>(kReadBytes / widest_, 1, 1u << 16);
    std::vector<std::vector<std::byte>> values(arrays_.size());
    std::vector<std::byte> row(row_bytes_);
    for (uint64_t first = range.begin; first < range.end; first += at_once) {
      const uint64_t count = std::min(at_once, range.end - first);
      for (size_t i = 0; i < arrays_.size(); ++i) {
        BALLAST_RETURN_IF_ERROR(read_rows(arrays_[i], first, count, values[i]));
      }
      for (uint64_t r = 0; r < count; ++r) {
        std::byte* at = row.data();
        for (size_t i = 0; i < arrays_.size(); ++i) {
          const uint64_t bytes = columns_[i].row_bytes();
          at = std::copy_n(values[i].data() + r * bytes, bytes, at);
        }
        BALLAST_RETURN_IF_ERROR(rows.add(row));
      }
    }
    return {};
  }

  // Each array's rows as they become, and one array's as they are stored; at most twice as wide.
  uint64_t reader_bytes() const override {
    return (2 * arrays_.size() + 1) * std::max(kReadBytes, widest_);
  }

 private:
  Status read_rows(const NpyArray& array, uint64_t first, uint64_t count,
                   std::vector<std::byte>& values) const {
    const uint64_t offset = array.data_offset + first * array.stored_row_bytes();
    std::vector<std::byte> stored(count * array.stored_row_bytes());
    BALLAST_RETURN_IF_ERROR(array.file.read_at(offset, stored));
    values.resize(count * array.spec.row_bytes());
    convert_elements(array.kind, stored, values);
    if (allow_nonfinite_) return {};
    const auto wrong = first_nonfinite(array.spec.type, values);
    if (!wrong) return {};
    const std::string unit = element_bytes(array.spec.type) == array.kind.bytes
                                 ? ""
                                 : fmt::format(" that fits {}", column_type_name(array.spec.type));
    return refused(array.file.path(), offset + *wrong * array.kind.bytes,
                   fmt::format("row {}: a finite number{} expected, {} found; --allow-nonfinite "
                               "keeps it",
                               first + *wrong / array.spec.width(), unit,
                               value_text(array.spec.type, values, *wrong)));
  }

  std::vector<NpyArray> arrays_;
  std::string label_;
  bool allow_nonfinite_;
  std::vector<ColumnSpec> columns_;
  std::vector<std::string> files_;
  std::vector<Extent> extents_;
  uint64_t row_bytes_ = 0;
  uint64_t widest_ = 1;
};

}  // namespace

Result<std::unique_ptr<Format>> open_npy(const NpyOptions& options) {
  std::vector<NpyArray> arrays;
  std::vector<std::string> names;
  for (const NpyColumn& column : options.columns) {
    BALLAST_ASSIGN(NpyArray array, open_array(column));
    if (!arrays.empty() && array.rows != arrays.front().rows) {
      return Status(Code::kInvalidInput,
                    fmt::format("{}: {} rows expected as in {}, {} found", column.path,
                                arrays.front().rows, arrays.front().file.path(), array.rows));
    }
    names.push_back(column.name);
    arrays.push_back(std::move(array));
  }
  if (arrays.empty() || arrays.front().rows == 0) {
    return Status(Code::kInvalidInput, "npy: at least one array with at least one row expected");
  }
  if (!options.label.empty() && std::ranges::find(names, options.label) == names.end()) {
    const std::string hint = did_you_mean(options.label, names);
    return Status(Code::kInvalidInput,
                  fmt::format("--label {}: no such column{} there are {}", options.label,
                              hint.empty() ? ";" : hint, fmt::join(names, ", ")));
  }
  return std::unique_ptr<Format>(std::make_unique<NpyFormat>(std::move(arrays), options));
}

}  // namespace ballast
