#include "worker/data/chunk_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "common/base/hash.h"
#include "worker/data/block_decoder.h"
#include "worker/data/codec/codec.h"
#include "worker/data/row_memory.h"
#include "worker/data/sealed.h"
#include "worker/data/source/local_source.h"

namespace ballast {

namespace {

Status mismatch(const std::string& what, const std::string& path, uint64_t offset,
                uint64_t expected, uint64_t found) {
  return Status(Code::kDataLoss, fmt::format("{} of {} at byte {}: xxh3 {} expected, {} found",
                                             what, path, offset, hex64(expected), hex64(found)));
}

}  // namespace

Result<ChunkReader> ChunkReader::open(const std::string& path) {
  const std::filesystem::path place(path);
  const std::string folder = place.has_parent_path() ? place.parent_path().string() : ".";
  BALLAST_ASSIGN(Object file,
                 Object::open(std::make_shared<LocalSource>(folder), place.filename().string()));
  return open(std::move(file));
}

Result<ChunkReader> ChunkReader::open(Object file) {
  const std::string path = file.path();
  if (file.size() < kBlockAlignment + kTrailerBytes) {
    return Status(Code::kDataLoss,
                  fmt::format("{} is cut short: at least {} bytes expected, {} found", path,
                              kBlockAlignment + kTrailerBytes, file.size()));
  }
  // The footer first: it tells the version, too, and under a hash. A head that differs is damage.
  BALLAST_ASSIGN(const SealedPart part, read_sealed(file, kChunkMagic, "footer"));
  const std::string where = fmt::format("footer of {} at byte {}", path, part.offset);
  BALLAST_ASSIGN(ChunkFooter footer, decode_chunk_footer(part.bytes, part.offset, where));
  std::vector<std::byte> head(kHeadBytes);
  const Status read = read_whole(file, [&] {
    Status outcome = file.read_at(0, head);
    return outcome.ok() ? check_chunk_head(head, path) : outcome;
  });
  if (!read.ok()) return read;
  return ChunkReader(std::move(file), std::move(footer), part.xxh3);
}

Result<ChunkReader> ChunkReader::open(const Dataset& dataset, uint32_t chunk) {
  const std::string path = dataset.chunk_path(chunk);
  const ManifestChunk& expected = dataset.manifest().chunks[chunk];
  BALLAST_ASSIGN(Object file, Object::open(dataset.source(), dataset.chunk_name(chunk)));
  if (file.size() != expected.bytes) {
    return Status(Code::kDataLoss, fmt::format("{} is cut short or grown: {} bytes expected by the "
                                               "manifest, {} found",
                                               path, expected.bytes, file.size()));
  }
  BALLAST_ASSIGN(ChunkReader reader, open(std::move(file)));
  if (reader.footer_xxh3_ != expected.footer_xxh3) {
    return mismatch("footer", path, expected.bytes - kTrailerBytes, expected.footer_xxh3,
                    reader.footer_xxh3_);
  }
  const ChunkLayout& layout = dataset.layout_of(chunk);
  const auto stores_as = [](const ColumnSpec& a, const ColumnSpec& b) { return a.stores_as(b); };
  if (!std::equal(layout.columns.begin(), layout.columns.end(), reader.footer_.columns.begin(),
                  reader.footer_.columns.end(), stores_as)) {
    return Status(Code::kDataLoss, path + ": its columns are not those of the manifest");
  }
  reader.columns_ = dataset.columns();
  reader.view_ = layout.view;
  reader.tables_ = layout.tables;
  const bool same = std::ranges::equal(
      dataset.blocks_of(chunk), reader.footer_.blocks, [](const auto& a, const auto& b) {
        return a.stored.offset == b.offset && a.stored.bytes == b.bytes && a.stored.rows == b.rows;
      });
  if (!same) return Status(Code::kDataLoss, path + ": its blocks are not those of the manifest");
  return reader;
}

ChunkReader::ChunkReader(Object file, ChunkFooter footer, uint64_t footer_xxh3)
    : file_(std::move(file)),
      footer_(std::move(footer)),
      footer_xxh3_(footer_xxh3),
      columns_(footer_.columns),
      view_(columns_.size()) {
  std::iota(view_.begin(), view_.end(), 0u);
}

std::string ChunkReader::where(size_t block, const std::string& column) const {
  return fmt::format("column \"{}\" in block {} of {}", column, block, file_.path());
}

// One buffer, verified and decoded.
Status ChunkReader::read_buffer(size_t block, size_t index, std::span<std::byte> raw,
                                const std::string& column) const {
  const BlockSpec& spec = footer_.blocks[block];
  const BufferSpec& buffer = spec.buffers[index];
  const uint64_t offset = spec.offset + buffer.offset;
  BALLAST_CHECK(raw.size() == buffer.raw_bytes);
  const bool encoded = buffer.codec != Codec::kNone;
  Buffer scratch;
  if (encoded) {
    BALLAST_ASSIGN(scratch, allocate_rows(buffer.stored_bytes));
  }
  const std::span<std::byte> stored = encoded ? scratch.bytes() : raw;
  const Status read = read_whole(file_, [&]() -> Status {
    BALLAST_RETURN_IF_ERROR(file_.read_at(offset, stored));
    const uint64_t found = xxh3(std::span<const std::byte>(stored));
    if (found == buffer.xxh3) return {};
    return mismatch(fmt::format("column \"{}\" in block {}", column, block), file_.path(), offset,
                    buffer.xxh3, found);
  });
  if (!read.ok() || !encoded) return read;
  const Status decoded = decompress(buffer.codec, stored, raw);
  if (decoded.ok()) return {};
  return Status(decoded.code(), fmt::format("{} at byte {}: {}", where(block, column), offset,
                                            decoded.to_string()));
}

Result<ColumnBlock> ChunkReader::read_stored(size_t block, size_t stored_column) const {
  const ColumnSpec& column = footer_.columns[stored_column];
  if (column.variable) return read_lists(block, stored_column);
  const size_t index = first_buffer(footer_.columns, stored_column);
  ColumnBlock read;
  BALLAST_ASSIGN(read.values, allocate_rows(footer_.blocks[block].buffers[index].raw_bytes));
  BALLAST_RETURN_IF_ERROR(read_buffer(block, index, read.values.bytes(), column.name));
  return read;
}

Result<ColumnBlock> ChunkReader::read_lists(size_t block, size_t stored_column) const {
  const ColumnSpec& column = footer_.columns[stored_column];
  const size_t index = first_buffer(footer_.columns, stored_column);
  const BlockSpec& spec = footer_.blocks[block];
  ColumnBlock read;
  BALLAST_ASSIGN(Buffer offsets, allocate_rows(spec.buffers[index].raw_bytes));
  BALLAST_RETURN_IF_ERROR(read_buffer(block, index, offsets.bytes(), column.name));
  BALLAST_ASSIGN(read.values, allocate_rows(spec.buffers[index + 1].raw_bytes));
  BALLAST_RETURN_IF_ERROR(read_buffer(block, index + 1, read.values.bytes(), column.name));
  read.lists.resize(spec.rows);
  BALLAST_RETURN_IF_ERROR(point_lists(offsets.bytes(), read.values.bytes(), column.item_bytes(),
                                      read.lists, where(block, column.name)));
  return read;
}

Status ChunkReader::read_column(size_t block, size_t column, std::span<std::byte> raw) const {
  const ColumnSpec& spec = columns_[column];
  BALLAST_CHECK(!spec.variable);
  if (view_[column] == kNoColumn) return fill_default(spec, raw, where(block, spec.name));
  return read_buffer(block, first_buffer(footer_.columns, view_[column]), raw, spec.name);
}

Result<ColumnBlock> ChunkReader::read_values(size_t block, size_t column) const {
  if (view_[column] != kNoColumn) return read_stored(block, view_[column]);
  const ColumnSpec& spec = columns_[column];
  const uint64_t rows = footer_.blocks[block].rows;
  ColumnBlock read;
  if (spec.variable) {
    read.lists.resize(rows);
    return read;
  }
  BALLAST_ASSIGN(read.values, allocate_rows(rows * spec.row_bytes()));
  BALLAST_RETURN_IF_ERROR(fill_default(spec, read.values.bytes(), where(block, spec.name)));
  return read;
}

Status ChunkReader::verify_column(size_t block, size_t stored_column) const {
  const auto read = read_stored(block, stored_column);
  return read.ok() ? Status() : read.status();
}

Status ChunkReader::verify_table(size_t block, std::span<const std::byte> bytes) const {
  if (!tables_) return {};
  const BlockSpec& spec = footer_.blocks[block];
  const std::string which = fmt::format("table of block {} of {}", block, file_.path());
  BALLAST_ASSIGN(const std::vector<BufferSpec> buffers,
                 decode_block_table(bytes, footer_.columns, spec.rows, which));
  if (buffers == spec.buffers) return {};
  return Status(Code::kDataLoss, which + ": it is not what the footer says");
}

Result<Buffer> ChunkReader::read_block(size_t block, uint64_t expected_xxh3) const {
  const BlockSpec& spec = footer_.blocks[block];
  BALLAST_ASSIGN(Buffer bytes, allocate_rows(spec.bytes));
  const Status read = read_whole(file_, [&]() -> Status {
    BALLAST_RETURN_IF_ERROR(file_.read_at(spec.offset, bytes.bytes()));
    const uint64_t found = xxh3(std::as_const(bytes).bytes());
    if (found == expected_xxh3) return {};
    return mismatch(fmt::format("block {}", block), file_.path(), spec.offset, expected_xxh3,
                    found);
  });
  if (!read.ok()) return read;
  return bytes;
}

Status ChunkReader::verify_head() const {
  std::vector<std::byte> head(kBlockAlignment);
  BALLAST_RETURN_IF_ERROR(file_.read_at(0, head));
  std::vector<std::byte> expected = chunk_head(footer_.minor);
  expected.resize(kBlockAlignment);
  const auto wrong = std::mismatch(head.begin(), head.end(), expected.begin());
  if (wrong.first == head.end()) return {};
  return Status(Code::kDataLoss,
                fmt::format("head of {} at byte {}: {:02x} expected, {:02x} found", file_.path(),
                            wrong.first - head.begin(), static_cast<unsigned>(*wrong.second),
                            static_cast<unsigned>(*wrong.first)));
}

}  // namespace ballast
