// MdsShard: one shard file of an MDS data set: where its samples lie and their bytes. A shard that
// is compressed, which MDS does as a whole, is unpacked into memory as a whole. MdsShard: plain
// values; MdsReader: owner thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/file.h"

namespace ballast {

struct MdsShard {
  enum class Packing : uint8_t { kNone, kZstd, kGzip };

  std::string path;
  Packing packing = Packing::kNone;
  uint64_t samples = 0;
  uint64_t raw_bytes = 0;
  uint64_t file_bytes = 0;  // less than raw_bytes where it is packed
  std::string xxh3 = {};    // of the file, as 16 hex digits; empty: index.json has none

  // Reads the file once. kDataLoss: it does not have the hash.
  [[nodiscard]] Status check_hash() const;
  // kDataLoss: "shard.mds at byte 17: ...", bytes of the unpacked shard.
  [[nodiscard]] Status damaged(uint64_t byte, const std::string& what,
                               Code code = Code::kDataLoss) const;
};

class MdsReader {
 public:
  // `shard` outlives the reader. kDataLoss: cut short, damaged, or another number of samples.
  static Result<MdsReader> open(const MdsShard& shard);

  // Samples from `first` on, at least one and at most up to `end`, about kBytesAtOnce; valid until
  // the next call. kDataLoss: they do not lie inside of the shard.
  struct Samples {
    uint64_t offset = 0;  // of the first, in the shard
    std::vector<std::span<const std::byte>> bytes;
  };
  Result<Samples> read(uint64_t first, uint64_t end);

  static constexpr uint64_t kBytesAtOnce = 1u << 20;

 private:
  explicit MdsReader(const MdsShard& shard) : shard_(&shard) {}
  [[nodiscard]] Status unpack();
  Result<std::span<const std::byte>> at(uint64_t offset, uint64_t bytes,
                                        std::vector<std::byte>& room) const;

  const MdsShard* shard_;
  std::optional<File> file_;         // of a shard that is not packed
  std::vector<std::byte> unpacked_;  // of one that is
  std::vector<std::byte> offsets_;
  std::vector<std::byte> samples_;
};

}  // namespace ballast
