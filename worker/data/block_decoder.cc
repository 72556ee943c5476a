#include "worker/data/block_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/base/hash.h"
#include "worker/data/codec/codec.h"
#include "worker/data/column_values.h"
#include "worker/data/list_rows.h"

namespace ballast {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max() / 4;  // sums of three never wrap

uint64_t product(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? kMost : std::min(result, kMost);
}

uint64_t sum(uint64_t a, uint64_t b) {
  return std::min(a + b, kMost);
}

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

PlainBlock plain_block(std::span<const ColumnSpec> columns, uint64_t rows) {
  PlainBlock block;
  for (const ColumnSpec& column : columns) {
    const uint64_t bytes = product(rows, column.row_bytes());
    block.buffers.push_back({round_up(block.bytes, kColumnAlignment), bytes, bytes, 0});
    block.bytes = sum(block.buffers.back().offset, bytes);
  }
  block.bytes = round_up(block.bytes, kBlockAlignment);
  return block;
}

// What of a slot is still free.
class BlockDecoder::Room {
 public:
  explicit Room(std::span<std::byte> free) : free_(free) {}

  // Aligned to 64. kDataLoss: there is less than the manifest promised.
  Result<std::span<std::byte>> take(uint64_t bytes, const std::string& where) {
    if (bytes > free_.size()) {
      return Status(Code::kDataLoss,
                    fmt::format("{}: at most {} bytes expected by the manifest, {} found", where,
                                free_.size(), bytes));
    }
    const std::span<std::byte> taken = free_.first(bytes);
    free_ = free_.subspan(std::min<uint64_t>(round_up(bytes, kColumnAlignment), free_.size()));
    return taken;
  }

 private:
  std::span<std::byte> free_;
};

BlockDecoder::BlockDecoder(const Dataset& dataset, const RowPlan& plan)
    : dataset_(dataset), columns_(plan.columns) {
  for (uint64_t block = 0; block < dataset.block_count(); ++block) {
    const BlockPlace place = dataset.block(block);
    const uint64_t decoded = decoded_bytes(dataset.layout_of(place.chunk), place.stored.rows);
    slot_bytes_ = std::max(slot_bytes_, sum(place.stored.bytes, decoded));
  }
}

// Most that the plan's columns may take beside the stored bytes.
uint64_t BlockDecoder::decoded_bytes(const ChunkLayout& layout, uint64_t rows) const {
  uint64_t bytes = 0;
  const auto add = [&](uint64_t more) { bytes = sum(bytes, round_up(more, kColumnAlignment)); };
  for (const ColumnPlan& column : columns_) {
    const uint32_t index = layout.view[column.column];
    const bool absent = index == kNoColumn;
    if (absent || layout.tables) add(product(rows, held_row_bytes(column.spec)));
    if (absent || !column.spec.variable) continue;
    add((rows + 1) * sizeof(uint64_t));  // the offsets
    add(layout.lists[index].largest);
  }
  return bytes;
}

Status BlockDecoder::verify(const BlockPlace& place, uint64_t found) const {
  if (found == place.stored.xxh3) return {};
  return Status(Code::kDataLoss,
                fmt::format("block {} of {} at byte {}: xxh3 {} expected, {} found",
                            place.index_in_chunk, dataset_.chunk_path(place.chunk),
                            place.stored.offset, hex64(place.stored.xxh3), hex64(found)));
}

Result<std::vector<HeldColumn>> BlockDecoder::decode(const BlockPlace& place,
                                                     std::span<std::byte> slot) const {
  const std::string where = dataset_.block_name(place);
  const ChunkLayout& layout = dataset_.layout_of(place.chunk);
  const std::span<const std::byte> stored = slot.first(place.stored.bytes);
  std::vector<BufferSpec> buffers;
  if (layout.tables) {
    BALLAST_ASSIGN(buffers, decode_block_table(stored, layout.columns, place.stored.rows, where));
  } else {
    PlainBlock plain = plain_block(layout.columns, place.stored.rows);
    if (plain.bytes != place.stored.bytes) {
      return Status(Code::kDataLoss,
                    fmt::format("{}: {} bytes expected for {} rows, {} found", where, plain.bytes,
                                place.stored.rows, place.stored.bytes));
    }
    buffers = std::move(plain.buffers);
  }
  Room room(slot.subspan(place.stored.bytes));  // blocks are whole pages, so this is aligned
  std::vector<HeldColumn> held;
  held.reserve(columns_.size());
  for (const ColumnPlan& column : columns_) {
    BALLAST_ASSIGN(HeldColumn decoded, decode_column(column, place, buffers, stored, room));
    held.push_back(decoded);
  }
  return held;
}

Result<HeldColumn> BlockDecoder::decode_column(const ColumnPlan& column, const BlockPlace& place,
                                               std::span<const BufferSpec> buffers,
                                               std::span<const std::byte> stored,
                                               Room& room) const {
  const ChunkLayout& layout = dataset_.layout_of(place.chunk);
  const uint32_t index = layout.view[column.column];
  const std::string where =
      fmt::format("{}, column \"{}\"", dataset_.block_name(place), column.spec.name);
  const uint64_t held_bytes = place.stored.rows * held_row_bytes(column.spec);
  if (index == kNoColumn) {
    BALLAST_ASSIGN(const std::span<std::byte> rows, room.take(held_bytes, where));
    BALLAST_RETURN_IF_ERROR(fill_default(column.spec, rows, where));
    const std::span<const std::byte> values = rows;
    return HeldColumn{rows.data(), column.spec.variable ? values.first(0) : values};
  }
  const auto decoded = [&](const BufferSpec& buffer) -> Result<std::span<const std::byte>> {
    const auto bytes = stored.subspan(buffer.offset, buffer.stored_bytes);
    if (buffer.codec == Codec::kNone) return bytes;
    BALLAST_ASSIGN(const std::span<std::byte> raw, room.take(buffer.raw_bytes, where));
    const Status outcome = decompress(buffer.codec, bytes, raw);
    if (!outcome.ok()) return Status(outcome.code(), where + ": " + outcome.to_string());
    return std::span<const std::byte>(raw);
  };
  const size_t first = first_buffer(layout.columns, index);
  BALLAST_ASSIGN(const std::span<const std::byte> values, decoded(buffers[first]));
  if (!column.spec.variable) return HeldColumn{values.data(), values};
  BALLAST_ASSIGN(const std::span<const std::byte> items, decoded(buffers[first + 1]));
  BALLAST_ASSIGN(const std::span<std::byte> taken, room.take(held_bytes, where));
  const std::span rows(reinterpret_cast<ListRow*>(taken.data()), place.stored.rows);
  BALLAST_RETURN_IF_ERROR(point_lists(values, items, column.spec.item_bytes(), rows, where));
  return HeldColumn{taken.data(), items};
}

Status fill_default(const ColumnSpec& column, std::span<std::byte> values,
                    const std::string& where) {
  if (column.variable) {
    std::fill(values.begin(), values.end(), std::byte{0});  // lists without items
    return {};
  }
  return with_type(column.type, [&](auto kind) -> Status {
    using Value = decltype(kind);
    if (!holds<Value>(column.default_value)) {
      return Status(Code::kDataLoss,
                    fmt::format("{}: default {} is not a value of {}", where, column.default_value,
                                column_type_name(column.type)));
    }
    const auto value = from_double<Value>(column.default_value);
    for (uint64_t at = 0; at < values.size(); at += sizeof value) {
      std::memcpy(values.data() + at, &value, sizeof value);
    }
    return {};
  });
}

}  // namespace ballast
