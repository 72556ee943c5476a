#include <fmt/format.h>

#include <algorithm>

#include "common/wire/chunk/chunk_format.h"
#include "common/wire/chunk/sealed_part.h"

namespace ballast {

using namespace sealed_part;

namespace {

auto encode_layout(flatbuffers::FlatBufferBuilder& builder, const ChunkLayout& layout) {
  auto columns = encode_columns(builder, layout.columns);
  auto view = builder.CreateVector(layout.view);
  std::vector<fb::ListBytes> lists;
  for (const ListBytes& bytes : layout.lists) lists.emplace_back(bytes.largest, bytes.total);
  auto lists_offset = builder.CreateVectorOfStructs(lists);
  return fb::CreateChunkLayout(builder, columns, view, lists_offset, layout.tables);
}

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

Result<Manifest> decode_manifest(std::span<const std::byte> bytes, const std::string& where) {
  const Buffer aligned = aligned_bytes(bytes);
  BALLAST_ASSIGN(const fb::Manifest* stored, verified_root<fb::Manifest>(aligned, where));
  BALLAST_RETURN_IF_ERROR(check_major(stored->major(), where));
  Manifest manifest;
  manifest.minor = stored->minor();
  BALLAST_ASSIGN(manifest.columns, decode_columns(*stored->columns(), where));
  if (stored->label() != nullptr) manifest.label = stored->label()->str();
  BALLAST_RETURN_IF_ERROR(check_aligned(stored->chunks(), stored->blocks(), where));
  manifest.chunks.reserve(stored->chunks()->size());
  for (const fb::ManifestChunk* chunk : *stored->chunks()) {
    manifest.chunks.push_back({chunk->footer_xxh3(), chunk->bytes(), chunk->rows()});
  }
  manifest.blocks.reserve(stored->blocks()->size());
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
