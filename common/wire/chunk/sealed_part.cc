#include "common/wire/chunk/sealed_part.h"

namespace ballast::sealed_part {

namespace {

Result<ColumnSpec> decode_column(const fb::Column& stored, const std::string& where) {
  ColumnSpec column;
  column.name = stored.name()->str();
  if (column.name.empty()) return damaged(where, "a column without a name");
  const std::string which = fmt::format("{}: column \"{}\"", where, column.name);
  if (stored.type() > fb::ColumnType::MAX) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: unknown type {}", which, static_cast<int>(stored.type())));
  }
  column.type = static_cast<ColumnType>(stored.type());
  column.variable = stored.variable();
  column.default_value = stored.default_value();
  uint64_t bytes = element_bytes(column.type);
  if (stored.shape() != nullptr)
    column.shape.assign(stored.shape()->begin(), stored.shape()->end());
  for (uint32_t extent : column.shape) {
    if (extent == 0 || !multiply(bytes, extent, bytes)) {
      return damaged(which, fmt::format("a row of shape [{}] has no legal size",
                                        fmt::join(column.shape, ", ")));
    }
  }
  return column;
}

}  // namespace

bool multiply(uint64_t a, uint64_t b, uint64_t& product) {
  if (a != 0 && b > kNumberMax / a) return false;
  product = a * b;
  return true;
}

Buffer aligned_bytes(std::span<const std::byte> bytes) {
  constexpr uintptr_t kMost = alignof(std::max_align_t);  // no record needs more
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kMost != 0) return Buffer::copy_of(bytes);
  return Buffer::adopt(const_cast<std::byte*>(bytes.data()), bytes.size(), nullptr);
}

Status damaged(const std::string& where, const std::string& what) {
  return Status(Code::kDataLoss, where + ": " + what);
}

flatbuffers::Offset<StoredColumns> encode_columns(flatbuffers::FlatBufferBuilder& builder,
                                                  const std::vector<ColumnSpec>& columns) {
  std::vector<flatbuffers::Offset<fb::Column>> encoded;
  for (const ColumnSpec& column : columns) {
    auto name = builder.CreateString(column.name);
    auto shape = builder.CreateVector(column.shape);
    encoded.push_back(fb::CreateColumn(builder, name, static_cast<fb::ColumnType>(column.type),
                                       shape, column.variable, 0, column.default_value));
  }
  return builder.CreateVector(encoded);
}

Result<std::vector<ColumnSpec>> decode_columns(const StoredColumns& stored,
                                               const std::string& where) {
  std::vector<ColumnSpec> columns;
  for (const fb::Column* column : stored) {
    BALLAST_ASSIGN(ColumnSpec spec, decode_column(*column, where));
    for (const ColumnSpec& other : columns) {
      if (other.name == spec.name) return damaged(where, "two columns named " + spec.name);
    }
    columns.push_back(std::move(spec));
  }
  if (columns.empty()) return damaged(where, "no columns");
  return columns;
}

std::vector<std::byte> finished(const flatbuffers::FlatBufferBuilder& builder) {
  const auto* first = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {first, first + builder.GetSize()};
}

Status check_major(uint16_t major, const std::string& where) {
  if (major == kChunkMajor) return {};
  return Status(Code::kInvalidInput,
                fmt::format("{}: format version {} expected, {} found: written by another version "
                            "of ballast; convert the data again",
                            where, kChunkMajor, major));
}

Status check_block_range(uint64_t offset, uint64_t bytes, uint64_t rows, uint64_t expected_offset,
                         uint64_t end, const std::string& which) {
  if (offset != expected_offset) {
    return damaged(which, fmt::format("offset {} expected, {} found", expected_offset, offset));
  }
  if (bytes == 0 || bytes % kBlockAlignment != 0 || bytes > end - offset) {
    return damaged(which, fmt::format("{} bytes at {} do not fit before {}", bytes, offset, end));
  }
  if (rows == 0 || rows > kBlockRowsMax) {
    return damaged(which, fmt::format("1 to {} rows expected, {} found", kBlockRowsMax, rows));
  }
  return {};
}

}  // namespace ballast::sealed_part
