// The trailer that seals a chunk's footer and a manifest: the last 32 bytes of either file,
// {u64 offset, u64 bytes, u64 xxh3 of the part, magic}. Little-endian. Pure but for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "worker/data/source/source.h"

namespace ballast {

inline constexpr uint64_t kTrailerBytes = 32;
inline constexpr uint64_t kHeadBytes = 16;  // of a chunk: magic, major, minor, flags
inline constexpr std::string_view kChunkMagic = "BLSTchnk";
inline constexpr std::string_view kManifestMagic = "BLSTmani";
inline constexpr std::string_view kManifestName = "manifest";

struct SealedPart {
  uint64_t offset = 0;
  uint64_t xxh3 = 0;
  std::vector<std::byte> bytes;
};

// The part and its trailer, to be written at `offset`.
[[nodiscard]] std::vector<std::byte> seal(std::span<const std::byte> part, uint64_t offset,
                                          std::string_view magic);

// Reads the trailer, then the part, and compares the hash. `what` is "footer" or "manifest" for
// messages. kDataLoss: cut short, another kind of file, or damaged.
Result<SealedPart> read_sealed(const Object& file, std::string_view magic, const std::string& what);

// The first kHeadBytes of a chunk, and whether they are those of one whose footer has been read.
// kDataLoss: they are not.
[[nodiscard]] std::vector<std::byte> chunk_head(uint16_t minor);
[[nodiscard]] Status check_chunk_head(std::span<const std::byte> head, const std::string& path);

}  // namespace ballast
