#include "worker/data/codec/codec.h"

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/base/check.h"

namespace ballast {
namespace {

// The default of zstd. Higher levels take longer to write and are read as fast, for files a little
// smaller.
constexpr int kZstdLevel = 3;

Status damaged(Codec codec, std::span<const std::byte> stored, size_t expected,
               const std::string& found) {
  return Status(Code::kDataLoss, fmt::format("{} bytes of {} expected to hold {} bytes, {} found",
                                             stored.size(), codec_name(codec), expected, found));
}

std::vector<std::byte> compress_lz4(std::span<const std::byte> raw) {
  if (raw.size() > LZ4_MAX_INPUT_SIZE) return {};
  const auto size = static_cast<int>(raw.size());
  std::vector<std::byte> stored(raw.size());  // no room for more: it gives up where that is needed
  const int written = LZ4_compress_default(reinterpret_cast<const char*>(raw.data()),
                                           reinterpret_cast<char*>(stored.data()), size, size);
  stored.resize(static_cast<size_t>(std::max(written, 0)));
  return stored;
}

std::vector<std::byte> compress_zstd(std::span<const std::byte> raw) {
  std::vector<std::byte> stored(ZSTD_compressBound(raw.size()));
  const size_t written =
      ZSTD_compress(stored.data(), stored.size(), raw.data(), raw.size(), kZstdLevel);
  if (ZSTD_isError(written)) return {};
  stored.resize(written);
  return stored;
}

Status decompress_lz4(std::span<const std::byte> stored, std::span<std::byte> raw) {
  constexpr size_t kMost = std::numeric_limits<int>::max();
  if (stored.size() > kMost || raw.size() > kMost) {
    return damaged(Codec::kLz4, stored, raw.size(), "more than the codec allows");
  }
  const int found = LZ4_decompress_safe(
      reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(raw.data()),
      static_cast<int>(stored.size()), static_cast<int>(raw.size()));
  if (found >= 0 && static_cast<size_t>(found) == raw.size()) return {};
  return damaged(Codec::kLz4, stored, raw.size(),
                 found < 0 ? "no valid stream" : fmt::format("{}", found));
}

Status decompress_zstd(std::span<const std::byte> stored, std::span<std::byte> raw) {
  const size_t found = ZSTD_decompress(raw.data(), raw.size(), stored.data(), stored.size());
  if (!ZSTD_isError(found) && found == raw.size()) return {};
  if (!ZSTD_isError(found)) {
    return damaged(Codec::kZstd, stored, raw.size(), fmt::format("{}", found));
  }
  const std::string_view why = ZSTD_getErrorName(found);
  if (why.find("allocation") != std::string_view::npos) {
    return Status(Code::kExhausted, fmt::format("zstd: {}", why));
  }
  return damaged(Codec::kZstd, stored, raw.size(), fmt::format("\"{}\"", why));
}

}  // namespace

Result<Codec> parse_codec(std::string_view text) {
  for (const Codec codec : {Codec::kNone, Codec::kLz4, Codec::kZstd}) {
    if (codec_name(codec) == text) return codec;
  }
  return Status(Code::kInvalidInput,
                fmt::format("codec none, lz4 or zstd expected, \"{}\" found", text));
}

std::vector<std::byte> compress(Codec codec, std::span<const std::byte> raw) {
  if (codec == Codec::kNone || raw.empty()) return {};
  std::vector<std::byte> stored = codec == Codec::kLz4 ? compress_lz4(raw) : compress_zstd(raw);
  if (stored.size() >= raw.size()) stored.clear();
  return stored;
}

Status decompress(Codec codec, std::span<const std::byte> stored, std::span<std::byte> raw) {
  if (codec == Codec::kLz4) return decompress_lz4(stored, raw);
  if (codec == Codec::kZstd) return decompress_zstd(stored, raw);
  BALLAST_CHECK(stored.size() == raw.size());
  if (!raw.empty()) std::memcpy(raw.data(), stored.data(), raw.size());
  return {};
}

}  // namespace ballast
