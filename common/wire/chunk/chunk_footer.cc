#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/wire/chunk/chunk_format.h"
#include "common/wire/chunk/sealed_part.h"

namespace ballast {

using namespace sealed_part;

namespace {

auto encode_block(flatbuffers::FlatBufferBuilder& builder, const BlockSpec& block) {
  std::vector<fb::StoredBuffer> buffers;
  for (const BufferSpec& buffer : block.buffers) {
    buffers.emplace_back(buffer.offset, buffer.stored_bytes, buffer.raw_bytes, buffer.xxh3,
                         static_cast<fb::Codec>(buffer.codec));
  }
  std::vector<fb::LabelCount> labels;
  for (const LabelCount& label : block.labels) labels.emplace_back(label.label, label.count);
  auto buffers_offset = builder.CreateVectorOfStructs(buffers);
  auto labels_offset = builder.CreateVectorOfStructs(labels);
  return fb::CreateBlock(builder, block.offset, block.bytes, block.rows, buffers_offset,
                         labels_offset);
}

Status check_raw_bytes(const BufferSpec& buffer, const ColumnSpec& column, bool offsets,
                       uint64_t rows, const std::string& which) {
  if (offsets) {
    if (buffer.raw_bytes == (rows + 1) * 4 || buffer.raw_bytes == (rows + 1) * 8) return {};
    return damaged(which, fmt::format("{} offsets of 4 or 8 bytes expected, {} bytes found",
                                      rows + 1, buffer.raw_bytes));
  }
  if (column.variable) {
    if (buffer.raw_bytes % column.item_bytes() == 0 && buffer.raw_bytes <= kNumberMax) return {};
    return damaged(which, fmt::format("whole items of {} bytes expected, {} bytes found",
                                      column.item_bytes(), buffer.raw_bytes));
  }
  uint64_t expected = 0;
  if (multiply(rows, column.item_bytes(), expected) && buffer.raw_bytes == expected) return {};
  return damaged(which, fmt::format("{} bytes expected for {} rows, {} found", expected, rows,
                                    buffer.raw_bytes));
}

Status check_stored_bytes(const BufferSpec& buffer, const std::string& which) {
  if (buffer.codec == Codec::kNone) {
    if (buffer.stored_bytes == buffer.raw_bytes) return {};
    return damaged(which, fmt::format("{} stored bytes expected, {} found", buffer.raw_bytes,
                                      buffer.stored_bytes));
  }
  if (buffer.raw_bytes / kExpansionMax <= buffer.stored_bytes) return {};
  return damaged(which,
                 fmt::format("{} bytes cannot become {}", buffer.stored_bytes, buffer.raw_bytes));
}

Status check_range(const BufferSpec& buffer, uint64_t first_free, uint64_t block_bytes,
                   const std::string& which) {
  if (buffer.offset % kColumnAlignment != 0 || buffer.offset < first_free ||
      buffer.offset > block_bytes || buffer.stored_bytes > block_bytes - buffer.offset) {
    return damaged(which, fmt::format("range {}+{} expected inside {}..{}", buffer.offset,
                                      buffer.stored_bytes, first_free, block_bytes));
  }
  return {};
}

// The buffers of a block, from a footer or from the block's own table.
Status check_buffers(std::span<const BufferSpec> buffers, std::span<const ColumnSpec> columns,
                     uint64_t rows, uint64_t first_free, uint64_t block_bytes,
                     const std::string& where) {
  auto buffer = buffers.begin();
  for (const ColumnSpec& column : columns) {
    for (size_t i = 0; i < buffers_of(column); ++i, ++buffer) {
      const bool offsets = column.variable && i == 0;
      const std::string which =
          fmt::format("{}, column \"{}\"{}", where, column.name, offsets ? ", offsets" : "");
      if (buffer->codec > Codec::kZstd) {
        return Status(Code::kInvalidInput,
                      fmt::format("{}: unknown codec {}", which, static_cast<int>(buffer->codec)));
      }
      BALLAST_RETURN_IF_ERROR(check_raw_bytes(*buffer, column, offsets, rows, which));
      BALLAST_RETURN_IF_ERROR(check_stored_bytes(*buffer, which));
      BALLAST_RETURN_IF_ERROR(check_range(*buffer, first_free, block_bytes, which));
      first_free = buffer->offset + buffer->stored_bytes;
    }
  }
  return {};
}

Status decode_buffers(const fb::Block& stored, const std::vector<ColumnSpec>& columns,
                      BlockSpec& block, const std::string& where) {
  BALLAST_RETURN_IF_ERROR(check_aligned(stored.buffers(), stored.labels(), where));
  const size_t expected = first_buffer(columns, columns.size());
  if (stored.buffers()->size() != expected) {
    return damaged(where, fmt::format("{} column buffers expected, {} found", expected,
                                      stored.buffers()->size()));
  }
  for (const fb::StoredBuffer* found : *stored.buffers()) {
    block.buffers.push_back({found->offset(), found->stored_bytes(), found->raw_bytes(),
                             found->xxh3(), static_cast<Codec>(found->codec())});
  }
  return check_buffers(block.buffers, columns, block.rows, 0, block.bytes, where);
}

// Each value once, ascending; no more values than a block can have.
Status decode_labels(const fb::Block& stored, BlockSpec& block, const std::string& where) {
  if (stored.labels() == nullptr) return {};
  constexpr uint64_t kMost = uint64_t{1} << 62;  // of values; their sum does not overflow
  uint64_t values = 0;
  for (const fb::LabelCount* label : *stored.labels()) {
    const bool rises = block.labels.empty() || block.labels.back().label < label->label();
    if (!rises || label->count() == 0 || label->count() > kMost - values) {
      return damaged(where, fmt::format("labels in rising order with counts from 1 expected, label "
                                        "{} counted {} times found",
                                        label->label(), label->count()));
    }
    values += label->count();
    block.labels.push_back({label->label(), label->count()});
  }
  return {};
}

Result<BlockSpec> decode_block(const fb::Block& stored, const std::vector<ColumnSpec>& columns,
                               uint64_t expected_offset, uint64_t end, const std::string& which) {
  BALLAST_RETURN_IF_ERROR(check_block_range(stored.offset(), stored.bytes(), stored.rows(),
                                            expected_offset, end, which));
  BlockSpec block;
  block.offset = stored.offset();
  block.bytes = stored.bytes();
  block.rows = stored.rows();
  BALLAST_RETURN_IF_ERROR(decode_buffers(stored, columns, block, which));
  BALLAST_RETURN_IF_ERROR(decode_labels(stored, block, which));
  return block;
}

}  // namespace

std::vector<std::byte> encode(const ChunkFooter& footer) {
  flatbuffers::FlatBufferBuilder builder;
  auto columns = encode_columns(builder, footer.columns);
  std::vector<flatbuffers::Offset<fb::Block>> blocks;
  for (const BlockSpec& block : footer.blocks) blocks.push_back(encode_block(builder, block));
  auto blocks_offset = builder.CreateVector(blocks);
  builder.Finish(fb::CreateChunkFooter(builder, kChunkMajor, footer.minor, columns, blocks_offset));
  return finished(builder);
}

static_assert(std::endian::native == std::endian::little, "files are little-endian");

std::vector<std::byte> encode_block_table(std::span<const BufferSpec> buffers) {
  std::vector<std::byte> table(buffers.size() * kTableEntryBytes);
  std::byte* at = table.data();
  for (const BufferSpec& buffer : buffers) {
    const uint64_t entry[] = {buffer.offset, buffer.stored_bytes, buffer.raw_bytes, buffer.xxh3,
                              static_cast<uint64_t>(buffer.codec)};
    static_assert(sizeof entry == kTableEntryBytes);
    std::memcpy(at, entry, sizeof entry);
    at += sizeof entry;
  }
  return table;
}

Result<std::vector<BufferSpec>> decode_block_table(std::span<const std::byte> block,
                                                   std::span<const ColumnSpec> columns,
                                                   uint64_t rows, const std::string& where) {
  const size_t count = first_buffer(columns, columns.size());
  const uint64_t table_bytes = count * kTableEntryBytes;
  if (block.size() < table_bytes) {
    return damaged(where,
                   fmt::format("a table of {} buffers expected in {} bytes", count, block.size()));
  }
  std::vector<BufferSpec> buffers;
  for (size_t i = 0; i < count; ++i) {
    uint64_t entry[5];
    std::memcpy(entry, block.data() + i * kTableEntryBytes, sizeof entry);
    const auto codec = static_cast<Codec>(std::min<uint64_t>(entry[4], 255));
    buffers.push_back({entry[0], entry[1], entry[2], entry[3], codec});
  }
  BALLAST_RETURN_IF_ERROR(check_buffers(buffers, columns, rows, table_bytes, block.size(), where));
  return buffers;
}

Result<ChunkFooter> decode_chunk_footer(std::span<const std::byte> bytes, uint64_t footer_offset,
                                        const std::string& where) {
  if (footer_offset < kBlockAlignment) {
    return damaged(where, fmt::format("a footer at byte {} or later expected", kBlockAlignment));
  }
  const Buffer aligned = aligned_bytes(bytes);
  BALLAST_ASSIGN(const fb::ChunkFooter* stored, verified_root<fb::ChunkFooter>(aligned, where));
  BALLAST_RETURN_IF_ERROR(check_major(stored->major(), where));
  ChunkFooter footer;
  footer.minor = stored->minor();
  BALLAST_ASSIGN(footer.columns, decode_columns(*stored->columns(), where));
  uint64_t next = kBlockAlignment;
  footer.blocks.reserve(stored->blocks()->size());
  for (const fb::Block* block : *stored->blocks()) {
    const std::string which = fmt::format("{}, block {}", where, footer.blocks.size());
    BALLAST_ASSIGN(BlockSpec spec,
                   decode_block(*block, footer.columns, next, footer_offset, which));
    next += spec.bytes;
    footer.blocks.push_back(std::move(spec));
  }
  if (next != footer_offset) {
    return damaged(where, fmt::format("blocks end at {}, expected {}", next, footer_offset));
  }
  return footer;
}

}  // namespace ballast
