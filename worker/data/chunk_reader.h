// ChunkReader: one chunk. Opening verifies its head and footer; every column of every block is
// verified as it is read. Immutable after open; any thread may read.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/dataset.h"
#include "worker/data/source/source.h"

namespace ballast {

class ChunkReader {
 public:
  // kNotFound: no such file. kDataLoss: cut short or damaged.
  static Result<ChunkReader> open(const std::string& path);
  // The same, and the chunk must be what the manifest says: footer hash, size, columns, blocks.
  static Result<ChunkReader> open(const Dataset& dataset, uint32_t chunk);

  [[nodiscard]] const ChunkFooter& footer() const { return footer_; }
  [[nodiscard]] uint64_t footer_xxh3() const { return footer_xxh3_; }
  [[nodiscard]] const Object& file() const { return file_; }

  // Fills `raw` (BufferSpec::raw_bytes) with a column of a block, verified.
  [[nodiscard]] Status read_column(size_t block, size_t column, std::span<std::byte> raw) const;
  // All bytes of a block, compared with the hash its manifest keeps.
  Result<Buffer> read_block(size_t block, uint64_t expected_xxh3) const;
  // Every byte before the first block; nothing else covers them.
  [[nodiscard]] Status verify_head() const;

 private:
  static Result<ChunkReader> open(Object file);
  ChunkReader(Object file, ChunkFooter footer, uint64_t footer_xxh3);

  Object file_;
  ChunkFooter footer_;
  uint64_t footer_xxh3_;
};

}  // namespace ballast
