#include "worker/data/convert/idx.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "worker/data/column_values.h"
#include "worker/data/convert/byte_source.h"

namespace ballast {

namespace {

uint32_t big_endian(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (std::byte byte : bytes.first(4)) value = value << 8 | static_cast<uint32_t>(byte);
  return value;
}

struct IdxFile {
  std::string path;
  bool packed;
  ColumnType type;
  uint32_t items;
  std::vector<uint32_t> shape;  // of an item
  uint64_t head_bytes;

  [[nodiscard]] uint64_t item_bytes() const { return ColumnSpec{"", type, shape}.row_bytes(); }
  // Behind the head and the items before `item`.
  Result<ByteSource> open_at(uint64_t item) const {
    return ByteSource::open(path, packed ? 0 : head_bytes + item * item_bytes());
  }
};

Result<ColumnType> idx_type(uint32_t code, const std::string& path) {
  if (code == 0x08) return ColumnType::kU8;
  if (code == 0x0c) return ColumnType::kI32;
  if (code == 0x0d) return ColumnType::kF32;
  return Status(Code::kInvalidInput,
                fmt::format("{} at byte 2: IDX type 08 (u8), 0c (i32) or 0d (f32) expected, {:02x} "
                            "found",
                            path, code));
}

Result<IdxFile> open_idx_file(const std::string& path) {
  BALLAST_ASSIGN(const SourceFile file, inspect_source(path));
  BALLAST_ASSIGN(ByteSource source, ByteSource::open(path));
  std::vector<std::byte> head(4);
  BALLAST_RETURN_IF_ERROR(source.read_all(head, "an IDX header"));
  const uint32_t magic = big_endian(head);
  const uint32_t dimensions = magic & 0xff;
  if (magic >> 16 != 0 || dimensions == 0) {
    return Status(Code::kInvalidInput, fmt::format("{} at byte 0: IDX header 00 00 type dimensions "
                                                   "expected, {:08x} found",
                                                   path, magic));
  }
  BALLAST_ASSIGN(const ColumnType type, idx_type(magic >> 8 & 0xff, path));
  std::vector<std::byte> sizes(dimensions * 4);
  BALLAST_RETURN_IF_ERROR(source.read_all(sizes, "the IDX sizes"));
  std::vector<uint32_t> shape;
  for (uint32_t i = 0; i < dimensions; ++i) {
    shape.push_back(big_endian(std::span(sizes).subspan(4 * i)));
  }
  const uint32_t items = shape.front();
  shape.erase(shape.begin());
  return IdxFile{path, file.packed, type, items, std::move(shape), source.offset()};
}

Status check_pair(const IdxFile& images, const IdxFile& labels) {
  if (!labels.shape.empty() || !is_integer(labels.type)) {
    return Status(
        Code::kInvalidInput,
        fmt::format("{}: one whole number an item expected as label, {} [{}] found", labels.path,
                    column_type_name(labels.type), fmt::join(labels.shape, ", ")));
  }
  if (images.items != labels.items) {
    return Status(Code::kInvalidInput,
                  fmt::format("{} at byte 4: {} items expected as in {}, {} found", labels.path,
                              images.items, images.path, labels.items));
  }
  if (images.items == 0) {
    return Status(Code::kInvalidInput,
                  fmt::format("{} at byte 4: at least one item expected", images.path));
  }
  uint64_t bytes = 1;
  for (uint32_t extent : images.shape) {
    bytes *= extent;
    if (bytes > 0 && bytes < (1u << 30)) continue;
    return Status(Code::kInvalidInput,
                  fmt::format("{} at byte 8: items of 1 to 2^30 values expected, shape [{}] found",
                              images.path, fmt::join(images.shape, ", ")));
  }
  return {};
}

// Values of more than one byte are big-endian in IDX.
void to_little_endian(std::span<std::byte> values, ColumnType type) {
  const uint64_t width = element_bytes(type);
  for (uint64_t at = 0; width > 1 && at < values.size(); at += width) {
    std::reverse(values.begin() + static_cast<ptrdiff_t>(at),
                 values.begin() + static_cast<ptrdiff_t>(at + width));
  }
}

// The label in the type asked for. False: it does not fit.
bool store_label(std::span<const std::byte> stored, ColumnType from, ColumnType to,
                 std::byte* out) {
  const int64_t label = from == ColumnType::kU8 ? load_value<uint8_t>(stored.data(), 0)
                                                : load_value<int32_t>(stored.data(), 0);
  return with_type(to, [&](auto kind) {
    using Value = decltype(kind);
    if constexpr (std::is_same_v<Value, Half>) {
      return false;
    } else {
      const auto value = static_cast<Value>(label);
      std::memcpy(out, &value, sizeof value);
      return static_cast<int64_t>(value) == label;
    }
  });
}

Status check_end(ByteSource& source, uint32_t items) {
  const uint64_t end = source.offset();
  std::byte more;
  BALLAST_ASSIGN(const size_t got, source.read(std::span(&more, 1)));
  if (got == 0) return {};
  return Status(
      Code::kInvalidInput,
      fmt::format("{} at byte {}: the end of the file expected after {} items, more found",
                  source.path(), end, items));
}

class IdxFormat : public Format {
 public:
  IdxFormat(IdxFile images, IdxFile labels, const IdxOptions& options)
      : images_(std::move(images)),
        labels_(std::move(labels)),
        label_type_(options.label_type.value_or(labels_.type)),
        columns_{{options.features, images_.type, images_.shape}, {options.label, label_type_, {}}},
        files_{images_.path, labels_.path} {
    const uint64_t row_bytes = columns_[0].row_bytes() + columns_[1].row_bytes();
    const bool packed = images_.packed || labels_.packed;
    extents_ = {{images_.items, images_.items * row_bytes, !packed}};
  }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return columns_.back().name; }
  const std::vector<std::string>& files() const override { return files_; }
  const std::vector<Extent>& extents() const override { return extents_; }

  Status read(const SourceRange& range, RowSink& rows) const override {
    BALLAST_ASSIGN(ByteSource images, images_.open_at(range.begin));
    BALLAST_ASSIGN(ByteSource labels, labels_.open_at(range.begin));
    if (images_.packed) BALLAST_RETURN_IF_ERROR(skip_head(images, images_));
    if (labels_.packed) BALLAST_RETURN_IF_ERROR(skip_head(labels, labels_));
    const uint64_t pixel_bytes = columns_[0].row_bytes();
    std::vector<std::byte> row(pixel_bytes + columns_[1].row_bytes());
    const std::span pixels = std::span(row).first(pixel_bytes);
    for (uint64_t item = range.begin; item < range.end; ++item) {
      BALLAST_RETURN_IF_ERROR(images.read_all(pixels, fmt::format("item {}", item)));
      to_little_endian(pixels, images_.type);
      BALLAST_RETURN_IF_ERROR(read_label(labels, item, row.data() + pixel_bytes));
      BALLAST_RETURN_IF_ERROR(rows.add(row));
    }
    if (range.end < images_.items) return {};
    BALLAST_RETURN_IF_ERROR(check_end(images, images_.items));
    return check_end(labels, labels_.items);
  }

 private:
  static Status skip_head(ByteSource& source, const IdxFile& file) {
    std::vector<std::byte> head(file.head_bytes);
    return source.read_all(head, "the IDX header");
  }

  Status read_label(ByteSource& labels, uint64_t item, std::byte* out) const {
    std::array<std::byte, 8> bytes;
    const auto stored = std::span(bytes).first(element_bytes(labels_.type));
    const uint64_t offset = labels.offset();
    BALLAST_RETURN_IF_ERROR(labels.read_all(stored, fmt::format("item {}", item)));
    to_little_endian(stored, labels_.type);
    if (store_label(stored, labels_.type, label_type_, out)) return {};
    return Status(
        Code::kInvalidInput,
        fmt::format("{} at byte {}: a label that fits {} expected, {} found", labels_.path, offset,
                    column_type_name(label_type_), value_text(labels_.type, stored, 0)));
  }

  IdxFile images_;
  IdxFile labels_;
  ColumnType label_type_;
  std::vector<ColumnSpec> columns_;
  std::vector<std::string> files_;
  std::vector<Extent> extents_;
};

}  // namespace

Result<std::unique_ptr<Format>> open_idx(const std::string& images_path,
                                         const std::string& labels_path,
                                         const IdxOptions& options) {
  BALLAST_ASSIGN(IdxFile images, open_idx_file(images_path));
  BALLAST_ASSIGN(IdxFile labels, open_idx_file(labels_path));
  BALLAST_RETURN_IF_ERROR(check_pair(images, labels));
  return std::unique_ptr<Format>(
      std::make_unique<IdxFormat>(std::move(images), std::move(labels), options));
}

}  // namespace ballast
