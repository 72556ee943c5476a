#include "worker/data/convert/mds_shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/hash.h"
#include "worker/data/codec/codec.h"
#include "worker/data/column_values.h"
#include "worker/data/convert/byte_source.h"

namespace ballast {

namespace {

constexpr uint64_t kSamplesAtOnce = 1024;

}  // namespace

Status MdsShard::check_hash() const {
  if (xxh3.empty()) return {};
  BALLAST_ASSIGN(const File file, File::open(path));
  std::vector<std::byte> buffer(MdsReader::kBytesAtOnce);
  Hasher hasher;
  for (uint64_t at = 0; at < file.size();) {
    const auto part = std::span(buffer).first(std::min<uint64_t>(buffer.size(), file.size() - at));
    BALLAST_RETURN_IF_ERROR(file.read_at(at, part));
    hasher.add(part);
    at += part.size();
  }
  const std::string found = hex64(hasher.digest());
  if (found == xxh3) return {};
  return Status(Code::kDataLoss,
                fmt::format("{}: xxh3_64 {} expected by index.json, {} found", path, xxh3, found));
}

Status MdsShard::damaged(uint64_t byte, const std::string& what, Code code) const {
  return Status(code, fmt::format("{}{} at byte {}: {}", path,
                                  packing == Packing::kNone ? "" : ", unpacked,", byte, what));
}

Result<MdsReader> MdsReader::open(const MdsShard& shard) {
  MdsReader reader(shard);
  if (shard.packing == MdsShard::Packing::kNone) {
    BALLAST_ASSIGN(File file, File::open(shard.path));
    reader.file_.emplace(std::move(file));
  } else {
    BALLAST_RETURN_IF_ERROR(reader.unpack());
  }
  BALLAST_ASSIGN(const auto head, reader.at(0, sizeof(uint32_t), reader.offsets_));
  const auto count = load_value<uint32_t>(head.data(), 0);
  if (count == shard.samples) return reader;
  return shard.damaged(
      0, fmt::format("{} samples expected by index.json, {} found", shard.samples, count));
}

Status MdsReader::unpack() {
  unpacked_.resize(shard_->raw_bytes);
  if (shard_->packing == MdsShard::Packing::kGzip) {
    BALLAST_ASSIGN(ByteSource source, ByteSource::open(shard_->path));
    BALLAST_RETURN_IF_ERROR(source.read_all(unpacked_, "a shard as long as index.json says"));
    std::byte more[1];  // also where gzip keeps its checksum
    BALLAST_ASSIGN(const size_t got, source.read(more));
    return got == 0 ? Status()
                    : shard_->damaged(shard_->raw_bytes,
                                      "the end expected as index.json says, more found");
  }
  BALLAST_ASSIGN(const File file, File::open(shard_->path));
  std::vector<std::byte> stored(shard_->file_bytes);
  BALLAST_RETURN_IF_ERROR(file.read_at(0, stored));
  Status unpacked = decompress(Codec::kZstd, stored, unpacked_);
  return unpacked.ok() ? unpacked : std::move(unpacked).because("while unpacking " + shard_->path);
}

Result<std::span<const std::byte>> MdsReader::at(uint64_t offset, uint64_t bytes,
                                                 std::vector<std::byte>& room) const {
  const uint64_t all = shard_->raw_bytes;
  if (offset > all || bytes > all - offset) {
    return shard_->damaged(offset, fmt::format("{} bytes expected, the shard has {}", bytes, all));
  }
  if (!file_) return std::span(unpacked_).subspan(offset, bytes);
  room.resize(bytes);
  BALLAST_RETURN_IF_ERROR(file_->read_at(offset, room));
  return std::span<const std::byte>(room);
}

Result<MdsReader::Samples> MdsReader::read(uint64_t first, uint64_t end) {
  const uint64_t most = std::min(end - first, kSamplesAtOnce);
  const uint64_t table = sizeof(uint32_t) * (first + 1);
  BALLAST_ASSIGN(const auto offsets, at(table, sizeof(uint32_t) * (most + 1), offsets_));
  const uint64_t begin = load_value<uint32_t>(offsets.data(), 0);
  std::vector<uint64_t> sizes;
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < most; ++i) {
    const uint64_t from = load_value<uint32_t>(offsets.data(), i);
    const uint64_t to = load_value<uint32_t>(offsets.data(), i + 1);
    if (to <= from || to > shard_->raw_bytes) {
      return shard_->damaged(
          table + sizeof(uint32_t) * i,
          fmt::format("sample {}: bytes inside of the shard's {} expected, {} to {} found",
                      first + i, shard_->raw_bytes, from, to));
    }
    if (i > 0 && bytes + to - from > kBytesAtOnce) break;
    sizes.push_back(to - from);
    bytes += to - from;
  }
  Samples samples{begin, {}};
  BALLAST_ASSIGN(auto stored, at(begin, bytes, samples_));
  for (const uint64_t size : sizes) {
    samples.bytes.push_back(stored.first(size));
    stored = stored.subspan(size);
  }
  return samples;
}

}  // namespace ballast
