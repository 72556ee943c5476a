#include "worker/data/convert/idx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "worker/data/column_values.h"
#include "worker/data/convert/byte_source.h"

namespace ballast {

namespace {

constexpr uint64_t kProgressRows = 10'000;

uint32_t big_endian(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (std::byte byte : bytes.first(4)) value = value << 8 | static_cast<uint32_t>(byte);
  return value;
}

struct IdxFile {
  ByteSource source;
  ColumnType type;
  uint32_t items;
  std::vector<uint32_t> shape;  // of an item
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

Result<IdxFile> open_idx(const std::string& path) {
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
  return IdxFile{std::move(source), type, items, std::move(shape)};
}

Status check_pair(const IdxFile& images, const IdxFile& labels) {
  if (!labels.shape.empty() || !is_integer(labels.type)) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: one whole number an item expected as label, {} [{}] found",
                              labels.source.path(), column_type_name(labels.type),
                              fmt::join(labels.shape, ", ")));
  }
  if (images.items != labels.items) {
    return Status(
        Code::kInvalidInput,
        fmt::format("{} at byte 4: {} items expected as in {}, {} found", labels.source.path(),
                    images.items, images.source.path(), labels.items));
  }
  if (images.items == 0) {
    return Status(Code::kInvalidInput,
                  fmt::format("{} at byte 4: at least one item expected", images.source.path()));
  }
  uint64_t bytes = 1;
  for (uint32_t extent : images.shape) {
    bytes *= extent;
    if (bytes > 0 && bytes < (1u << 30)) continue;
    return Status(Code::kInvalidInput,
                  fmt::format("{} at byte 8: items of 1 to 2^30 values expected, shape [{}] found",
                              images.source.path(), fmt::join(images.shape, ", ")));
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

Status copy_rows(IdxFile& images, IdxFile& labels, ColumnType label_type, DatasetWriter& writer,
                 const ConvertProgress& progress) {
  std::vector<std::byte> row(writer.row_bytes());
  std::vector<std::byte> label(element_bytes(labels.type));
  const std::span pixels = std::span(row).first(row.size() - element_bytes(label_type));
  for (uint32_t item = 0; item < images.items; ++item) {
    const std::string what = fmt::format("item {}", item);
    BALLAST_RETURN_IF_ERROR(images.source.read_all(pixels, what));
    to_little_endian(pixels, images.type);
    const uint64_t label_offset = labels.source.offset();
    BALLAST_RETURN_IF_ERROR(labels.source.read_all(label, what));
    to_little_endian(label, labels.type);
    if (!store_label(label, labels.type, label_type, row.data() + pixels.size())) {
      return Status(Code::kInvalidInput,
                    fmt::format("{} at byte {}: a label that fits {} expected, {} found",
                                labels.source.path(), label_offset, column_type_name(label_type),
                                value_text(labels.type, label, 0)));
    }
    BALLAST_RETURN_IF_ERROR(writer.add_row(row));
    if (progress && writer.rows() % kProgressRows == 0) progress(writer.rows());
  }
  return {};
}

Status check_end(IdxFile& file) {
  const uint64_t end = file.source.offset();
  std::byte more;
  BALLAST_ASSIGN(const size_t got, file.source.read(std::span(&more, 1)));
  if (got == 0) return {};
  return Status(
      Code::kInvalidInput,
      fmt::format("{} at byte {}: the end of the file expected after {} items, more found",
                  file.source.path(), end, file.items));
}

}  // namespace

Result<uint64_t> convert_idx(const std::string& images_path, const std::string& labels_path,
                             const std::string& folder, const IdxOptions& options,
                             const ConvertProgress& progress) {
  BALLAST_ASSIGN(IdxFile images, open_idx(images_path));
  BALLAST_ASSIGN(IdxFile labels, open_idx(labels_path));
  BALLAST_RETURN_IF_ERROR(check_pair(images, labels));
  const ColumnType label_type = options.label_type.value_or(labels.type);
  DatasetWriterOptions writer_options = options.writer;
  writer_options.label = options.label;
  BALLAST_ASSIGN(
      DatasetWriter writer,
      DatasetWriter::create(
          folder, {{options.features, images.type, images.shape}, {options.label, label_type, {}}},
          writer_options));
  BALLAST_RETURN_IF_ERROR(copy_rows(images, labels, label_type, writer, progress));
  BALLAST_RETURN_IF_ERROR(check_end(images));
  BALLAST_RETURN_IF_ERROR(check_end(labels));
  BALLAST_RETURN_IF_ERROR(writer.commit());
  return writer.rows();
}

}  // namespace ballast
