#include "worker/data/sealed.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

namespace {

template <typename Number>
void put(std::span<std::byte> bytes, size_t offset, Number number) {
  std::memcpy(bytes.data() + offset, &number, sizeof number);
}

template <typename Number>
Number get(std::span<const std::byte> bytes, size_t offset) {
  Number number;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

void put_text(std::span<std::byte> bytes, size_t offset, std::string_view text) {
  std::memcpy(bytes.data() + offset, text.data(), text.size());
}

// Bytes from outside, fit for a message.
std::string printable(std::span<const std::byte> bytes) {
  return escaped({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

bool same(std::span<const std::byte> bytes, std::string_view text) {
  return std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

}  // namespace

std::vector<std::byte> seal(std::span<const std::byte> part, uint64_t offset,
                            std::string_view magic) {
  std::vector<std::byte> bytes(part.size() + kTrailerBytes);
  std::copy(part.begin(), part.end(), bytes.begin());
  const auto trailer = std::span(bytes).last(kTrailerBytes);
  put<uint64_t>(trailer, 0, offset);
  put<uint64_t>(trailer, 8, part.size());
  put<uint64_t>(trailer, 16, xxh3(part));
  put_text(trailer, 24, magic);
  return bytes;
}

namespace {

Result<SealedPart> read_once(const Object& file, std::string_view magic, const std::string& what) {
  if (file.size() < kTrailerBytes) {
    return Status(Code::kDataLoss,
                  fmt::format("{} is cut short: at least {} bytes expected, {} found", file.path(),
                              kTrailerBytes, file.size()));
  }
  const uint64_t trailer_offset = file.size() - kTrailerBytes;
  std::vector<std::byte> trailer(kTrailerBytes);
  BALLAST_RETURN_IF_ERROR(file.read_at(trailer_offset, trailer));
  const auto found_magic = std::span(trailer).subspan(24);
  if (!same(found_magic, magic)) {
    return Status(Code::kDataLoss,
                  fmt::format("{} at byte {}: \"{}\" expected, \"{}\" found: the file is cut short "
                              "or of another kind",
                              file.path(), trailer_offset + 24, magic, printable(found_magic)));
  }
  const auto offset = get<uint64_t>(trailer, 0);
  const auto bytes = get<uint64_t>(trailer, 8);
  const auto stored = get<uint64_t>(trailer, 16);
  if (offset > trailer_offset || bytes != trailer_offset - offset) {
    return Status(Code::kDataLoss,
                  fmt::format("{} at byte {}: {} expected to end at {}, found {}+{}", file.path(),
                              trailer_offset, what, trailer_offset, offset, bytes));
  }
  SealedPart part{offset, stored, std::vector<std::byte>(bytes)};
  BALLAST_RETURN_IF_ERROR(file.read_at(offset, part.bytes));
  const uint64_t actual = xxh3(part.bytes);
  if (actual == stored) return part;
  return Status(Code::kDataLoss,
                fmt::format("{} of {} at byte {}: xxh3 {} expected, {} found", what, file.path(),
                            offset, hex64(stored), hex64(actual)));
}

}  // namespace

Result<SealedPart> read_sealed(const Object& file, std::string_view magic,
                               const std::string& what) {
  return read_whole(file, [&] { return read_once(file, magic, what); });
}

std::vector<std::byte> chunk_head(uint16_t minor) {
  std::vector<std::byte> head(kHeadBytes);  // the last four: flags, none yet
  put_text(head, 0, kChunkMagic);
  put<uint16_t>(head, 8, kChunkMajor);
  put<uint16_t>(head, 10, minor);
  return head;
}

Status check_chunk_head(std::span<const std::byte> head, const std::string& path) {
  if (!same(head, kChunkMagic)) {
    return Status(Code::kDataLoss,
                  fmt::format("{} at byte 0: \"{}\" expected, \"{}\" found", path, kChunkMagic,
                              printable(head.first(kChunkMagic.size()))));
  }
  const auto major = get<uint16_t>(head, 8);
  if (major == kChunkMajor) return {};
  return Status(Code::kDataLoss,
                fmt::format("{} at byte 8: format version {} expected as in the footer, {} found",
                            path, kChunkMajor, major));
}

}  // namespace ballast
