#include "common/wire/chunk/chunk_format.h"

#include <fmt/format.h>

#include <numeric>

namespace ballast {

std::string_view column_type_name(ColumnType type) {
  constexpr std::string_view kNames[] = {"u8", "i32", "i64", "f16", "f32"};
  return kNames[static_cast<size_t>(type)];
}

uint64_t element_bytes(ColumnType type) {
  constexpr uint64_t kBytes[] = {1, 4, 8, 2, 4};
  return kBytes[static_cast<size_t>(type)];
}

bool is_integer(ColumnType type) {
  return type == ColumnType::kU8 || type == ColumnType::kI32 || type == ColumnType::kI64;
}

std::string_view codec_name(Codec codec) {
  constexpr std::string_view kNames[] = {"none", "lz4", "zstd"};
  return kNames[static_cast<size_t>(codec)];
}

size_t buffers_of(const ColumnSpec& column) {
  return column.variable ? 2 : 1;
}

size_t first_buffer(std::span<const ColumnSpec> columns, size_t index) {
  size_t buffers = 0;
  for (const ColumnSpec& column : columns.first(index)) buffers += buffers_of(column);
  return buffers;
}

uint64_t ColumnSpec::row_bytes() const {
  BALLAST_CHECK(!variable);
  return item_bytes();
}

bool ColumnSpec::stores_as(const ColumnSpec& other) const {
  return name == other.name && type == other.type && shape == other.shape &&
         variable == other.variable;
}

ChunkLayout plain_chunks(const std::vector<ColumnSpec>& columns) {
  ChunkLayout layout{columns, std::vector<uint32_t>(columns.size()),
                     std::vector<ListBytes>(columns.size()), false};
  std::iota(layout.view.begin(), layout.view.end(), 0u);
  return layout;
}

uint64_t ColumnSpec::width() const {
  uint64_t values = 1;
  for (uint32_t extent : shape) values *= extent;
  return values;
}

std::string ColumnSpec::to_string() const {
  return fmt::format("{} {} [{}]{}", name, column_type_name(type), fmt::join(shape, ", "),
                     variable ? ", lists" : "");
}

uint64_t ChunkFooter::rows() const {
  uint64_t sum = 0;
  for (const BlockSpec& block : blocks) sum += block.rows;
  return sum;
}

uint64_t Manifest::rows() const {
  uint64_t sum = 0;
  for (const ManifestBlock& block : blocks) sum += block.rows;
  return sum;
}

}  // namespace ballast
