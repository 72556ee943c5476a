#include "worker/data/chunk_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "common/base/hash.h"
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
  std::vector<std::byte> head(kHeadBytes);
  const Status read = read_whole(file, [&] {
    Status outcome = file.read_at(0, head);
    return outcome.ok() ? check_chunk_head(head, path) : outcome;
  });
  if (!read.ok()) return read;
  BALLAST_ASSIGN(const SealedPart part, read_sealed(file, kChunkMagic, "footer"));
  const std::string where = fmt::format("footer of {} at byte {}", path, part.offset);
  BALLAST_ASSIGN(ChunkFooter footer, decode_chunk_footer(part.bytes, part.offset, where));
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
  if (reader.footer_.columns != dataset.columns()) {
    return Status(Code::kDataLoss, path + ": its columns are not those of the manifest");
  }
  const auto blocks = dataset.blocks_of(chunk);
  const bool same = std::equal(blocks.begin(), blocks.end(), reader.footer_.blocks.begin(),
                               reader.footer_.blocks.end(), [](const auto& a, const auto& b) {
                                 return a.stored.offset == b.offset && a.stored.bytes == b.bytes &&
                                        a.stored.rows == b.rows;
                               });
  if (!same) return Status(Code::kDataLoss, path + ": its blocks are not those of the manifest");
  return reader;
}

ChunkReader::ChunkReader(Object file, ChunkFooter footer, uint64_t footer_xxh3)
    : file_(std::move(file)), footer_(std::move(footer)), footer_xxh3_(footer_xxh3) {}

Status ChunkReader::read_column(size_t block, size_t column, std::span<std::byte> raw) const {
  const BlockSpec& spec = footer_.blocks[block];
  const BufferSpec& buffer = spec.buffers[column];
  const uint64_t offset = spec.offset + buffer.offset;
  const std::string& name = footer_.columns[column].name;
  if (buffer.codec != Codec::kNone) {
    return Status(Code::kInvalidInput,
                  fmt::format("column \"{}\" in block {} of {} at byte {}: codec {} is not read by "
                              "this version",
                              name, block, file_.path(), offset, static_cast<int>(buffer.codec)));
  }
  BALLAST_CHECK(raw.size() == buffer.raw_bytes);
  return read_whole(file_, [&]() -> Status {
    BALLAST_RETURN_IF_ERROR(file_.read_at(offset, raw));
    const uint64_t found = xxh3(std::span<const std::byte>(raw));
    if (found == buffer.xxh3) return {};
    return mismatch(fmt::format("column \"{}\" in block {}", name, block), file_.path(), offset,
                    buffer.xxh3, found);
  });
}

Result<Buffer> ChunkReader::read_block(size_t block, uint64_t expected_xxh3) const {
  const BlockSpec& spec = footer_.blocks[block];
  Buffer bytes = Buffer::allocate(spec.bytes);
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
  std::vector<std::byte> expected = chunk_head();
  expected.resize(kBlockAlignment);
  const auto wrong = std::mismatch(head.begin(), head.end(), expected.begin());
  if (wrong.first == head.end()) return {};
  return Status(Code::kDataLoss,
                fmt::format("head of {} at byte {}: {:02x} expected, {:02x} found", file_.path(),
                            wrong.first - head.begin(), static_cast<unsigned>(*wrong.second),
                            static_cast<unsigned>(*wrong.first)));
}

}  // namespace ballast
