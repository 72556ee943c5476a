#include "common/wire/chunk/chunk_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "common/base/buffer.h"
#include "common/wire/elements_aligned.h"
#include "schemas/chunk_generated.h"

namespace ballast {

namespace {

constexpr uint64_t kNumberMax = 1ull << 62;  // sums of two never wrap

// Multiplies or says that it would pass kNumberMax.
bool multiply(uint64_t a, uint64_t b, uint64_t& product) {
  if (a != 0 && b > kNumberMax / a) return false;
  product = a * b;
  return true;
}

Status damaged(const std::string& where, const std::string& what) {
  return Status(Code::kDataLoss, where + ": " + what);
}

auto encode_columns(flatbuffers::FlatBufferBuilder& builder,
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

auto encode_layout(flatbuffers::FlatBufferBuilder& builder, const ChunkLayout& layout) {
  auto columns = encode_columns(builder, layout.columns);
  auto view = builder.CreateVector(layout.view);
  std::vector<fb::ListBytes> lists;
  for (const ListBytes& bytes : layout.lists) lists.emplace_back(bytes.largest, bytes.total);
  auto lists_offset = builder.CreateVectorOfStructs(lists);
  return fb::CreateChunkLayout(builder, columns, view, lists_offset, layout.tables);
}

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

std::vector<std::byte> finished(const flatbuffers::FlatBufferBuilder& builder) {
  const auto* first = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {first, first + builder.GetSize()};
}

// Structure is verified by FlatBuffers on an aligned copy; nothing is read before.
template <typename Root>
Result<const Root*> verified_root(const Buffer& bytes, const std::string& where) {
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!verifier.VerifyBuffer<Root>(nullptr)) {
    return damaged(where, fmt::format("{} bytes are not a valid structure", bytes.size()));
  }
  return flatbuffers::GetRoot<Root>(bytes.data());
}

template <typename First, typename Second>
Status check_aligned(const First* first, const Second* second, const std::string& where) {
  if (wire::elements_aligned(first) && wire::elements_aligned(second)) return {};
  return damaged(where, "records at an address that is no multiple of 8");
}

Status check_major(uint16_t major, const std::string& where) {
  if (major == kChunkMajor) return {};
  return Status(Code::kInvalidInput,
                fmt::format("{}: format version {} expected, {} found: written by another version "
                            "of ballast; convert the data again",
                            where, kChunkMajor, major));
}

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

using StoredColumns = flatbuffers::Vector<flatbuffers::Offset<fb::Column>>;

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

// A block stands where the one before ended, on whole pages.
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

Result<BlockSpec> decode_block(const fb::Block& stored, const std::vector<ColumnSpec>& columns,
                               uint64_t expected_offset, uint64_t end, const std::string& which) {
  BALLAST_RETURN_IF_ERROR(check_block_range(stored.offset(), stored.bytes(), stored.rows(),
                                            expected_offset, end, which));
  BlockSpec block;
  block.offset = stored.offset();
  block.bytes = stored.bytes();
  block.rows = stored.rows();
  BALLAST_RETURN_IF_ERROR(decode_buffers(stored, columns, block, which));
  if (stored.labels() == nullptr) return block;
  for (const fb::LabelCount* label : *stored.labels()) {
    block.labels.push_back({label->label(), label->count()});
  }
  return block;
}

}  // namespace

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

std::vector<std::byte> encode(const ChunkFooter& footer) {
  flatbuffers::FlatBufferBuilder builder;
  auto columns = encode_columns(builder, footer.columns);
  std::vector<flatbuffers::Offset<fb::Block>> blocks;
  for (const BlockSpec& block : footer.blocks) blocks.push_back(encode_block(builder, block));
  auto blocks_offset = builder.CreateVector(blocks);
  builder.Finish(fb::CreateChunkFooter(builder, kChunkMajor, footer.minor, columns, blocks_offset));
  return finished(builder);
}

std::vector<std::byte> encode(const Manifest& manifest) {
  flatbuffers::FlatBufferBuilder builder;
  auto columns = encode_columns(builder, manifest.columns);
  auto label = builder.CreateString(manifest.label);
  std::vector<fb::ManifestChunk> chunks;
  for (const ManifestChunk& chunk : manifest.chunks) {
    chunks.emplace_back(chunk.footer_xxh3, chunk.bytes, chunk.rows);
  }
  std::vector<fb::ManifestBlock> blocks;
  for (const ManifestBlock& block : manifest.blocks) {
    blocks.emplace_back(block.offset, block.bytes, block.xxh3, block.chunk, block.rows);
  }
  auto chunks_offset = builder.CreateVectorOfStructs(chunks);
  auto blocks_offset = builder.CreateVectorOfStructs(blocks);
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::ChunkLayout>>> layouts_offset;
  flatbuffers::Offset<flatbuffers::Vector<uint32_t>> chunk_layouts;
  if (!manifest.layouts.empty()) {
    std::vector<flatbuffers::Offset<fb::ChunkLayout>> layouts;
    for (const ChunkLayout& layout : manifest.layouts) {
      layouts.push_back(encode_layout(builder, layout));
    }
    layouts_offset = builder.CreateVector(layouts);
    chunk_layouts = builder.CreateVector(manifest.chunk_layouts);
  }
  builder.Finish(fb::CreateManifest(builder, kChunkMajor, manifest.minor, columns, label,
                                    chunks_offset, blocks_offset, layouts_offset, chunk_layouts));
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
  const Buffer aligned = Buffer::copy_of(bytes);
  BALLAST_ASSIGN(const fb::ChunkFooter* stored, verified_root<fb::ChunkFooter>(aligned, where));
  BALLAST_RETURN_IF_ERROR(check_major(stored->major(), where));
  ChunkFooter footer;
  footer.minor = stored->minor();
  BALLAST_ASSIGN(footer.columns, decode_columns(*stored->columns(), where));
  uint64_t next = kBlockAlignment;
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

namespace {

// The blocks of a manifest's chunk stand together, in order, and fill its rows.
Status check_manifest_blocks(const Manifest& manifest, const std::string& where) {
  size_t next = 0;
  for (uint32_t chunk = 0; chunk < manifest.chunks.size(); ++chunk) {
    uint64_t offset = kBlockAlignment;
    uint64_t rows = 0;
    for (; next < manifest.blocks.size() && manifest.blocks[next].chunk == chunk; ++next) {
      const ManifestBlock& block = manifest.blocks[next];
      const std::string which = fmt::format("{}, block {}", where, next);
      const uint64_t end = std::max(manifest.chunks[chunk].bytes, offset);
      BALLAST_RETURN_IF_ERROR(
          check_block_range(block.offset, block.bytes, block.rows, offset, end, which));
      offset += block.bytes;
      rows += block.rows;
    }
    if (rows != manifest.chunks[chunk].rows) {
      return damaged(where, fmt::format("chunk {} has {} rows, its blocks have {}", chunk,
                                        manifest.chunks[chunk].rows, rows));
    }
  }
  if (next == manifest.blocks.size()) return {};
  return damaged(where, fmt::format("block {} belongs to no chunk", next));
}

Result<ChunkLayout> decode_layout(const fb::ChunkLayout& stored, const std::string& where) {
  BALLAST_RETURN_IF_ERROR(check_aligned(stored.view(), stored.lists(), where));
  ChunkLayout layout;
  BALLAST_ASSIGN(layout.columns, decode_columns(*stored.columns(), where));
  layout.view.assign(stored.view()->begin(), stored.view()->end());
  for (const fb::ListBytes* bytes : *stored.lists()) {
    layout.lists.push_back({bytes->largest(), bytes->total()});
  }
  layout.tables = stored.tables();
  return layout;
}

bool any_lists(const std::vector<ColumnSpec>& columns) {
  return std::any_of(columns.begin(), columns.end(),
                     [](const ColumnSpec& column) { return column.variable; });
}

Status check_layout(const ChunkLayout& layout, const std::vector<ColumnSpec>& columns,
                    const std::string& which) {
  if (layout.view.size() != columns.size() || layout.lists.size() != layout.columns.size()) {
    return damaged(which, fmt::format("a view of {} columns and {} list sizes expected, {} and {} "
                                      "found",
                                      columns.size(), layout.columns.size(), layout.view.size(),
                                      layout.lists.size()));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (layout.view[i] == kNoColumn) continue;
    if (layout.view[i] >= layout.columns.size() ||
        !layout.columns[layout.view[i]].stores_as(columns[i])) {
      return damaged(which, fmt::format("column {} of the manifest is not column {} of the chunks",
                                        columns[i].to_string(), layout.view[i]));
    }
  }
  for (const ListBytes& bytes : layout.lists) {
    if (bytes.largest > bytes.total || bytes.total > kNumberMax) {
      return damaged(which, fmt::format("lists of {} bytes in one block of {} bytes", bytes.largest,
                                        bytes.total));
    }
  }
  if (layout.tables || !any_lists(layout.columns)) return {};
  return damaged(which, "lists need tables");
}

Status check_layouts(const Manifest& manifest, const std::string& where) {
  if (manifest.layouts.empty()) {
    if (!any_lists(manifest.columns)) return {};
    return damaged(where, "lists need a layout");
  }
  for (size_t i = 0; i < manifest.layouts.size(); ++i) {
    BALLAST_RETURN_IF_ERROR(check_layout(manifest.layouts[i], manifest.columns,
                                         fmt::format("{}, layout {}", where, i)));
  }
  if (manifest.chunk_layouts.size() != manifest.chunks.size()) {
    return damaged(where, fmt::format("layouts of {} chunks expected, of {} found",
                                      manifest.chunks.size(), manifest.chunk_layouts.size()));
  }
  for (uint32_t layout : manifest.chunk_layouts) {
    if (layout >= manifest.layouts.size()) {
      return damaged(where, fmt::format("layout {} of {}", layout, manifest.layouts.size()));
    }
  }
  return {};
}

}  // namespace

Result<Manifest> decode_manifest(std::span<const std::byte> bytes, const std::string& where) {
  const Buffer aligned = Buffer::copy_of(bytes);
  BALLAST_ASSIGN(const fb::Manifest* stored, verified_root<fb::Manifest>(aligned, where));
  BALLAST_RETURN_IF_ERROR(check_major(stored->major(), where));
  Manifest manifest;
  manifest.minor = stored->minor();
  BALLAST_ASSIGN(manifest.columns, decode_columns(*stored->columns(), where));
  if (stored->label() != nullptr) manifest.label = stored->label()->str();
  BALLAST_RETURN_IF_ERROR(check_aligned(stored->chunks(), stored->blocks(), where));
  for (const fb::ManifestChunk* chunk : *stored->chunks()) {
    manifest.chunks.push_back({chunk->footer_xxh3(), chunk->bytes(), chunk->rows()});
  }
  for (const fb::ManifestBlock* block : *stored->blocks()) {
    manifest.blocks.push_back(
        {block->offset(), block->bytes(), block->xxh3(), block->chunk(), block->rows()});
  }
  BALLAST_RETURN_IF_ERROR(check_manifest_blocks(manifest, where));
  if (stored->layouts() != nullptr) {
    for (const fb::ChunkLayout* layout : *stored->layouts()) {
      const std::string which = fmt::format("{}, layout {}", where, manifest.layouts.size());
      BALLAST_ASSIGN(ChunkLayout spec, decode_layout(*layout, which));
      manifest.layouts.push_back(std::move(spec));
    }
  }
  if (stored->chunk_layouts() != nullptr) {
    BALLAST_RETURN_IF_ERROR(check_aligned(stored->chunk_layouts(), stored->chunk_layouts(), where));
    manifest.chunk_layouts.assign(stored->chunk_layouts()->begin(), stored->chunk_layouts()->end());
  }
  BALLAST_RETURN_IF_ERROR(check_layouts(manifest, where));
  return manifest;
}

}  // namespace ballast
