// ChunkReader: one chunk. Opening verifies its head and footer; every column of every block is
// verified as it is read, and decoded. Opened as part of a data set it has the columns of that: a
// column the chunk lacks is read as its default, one that was dropped is not seen. Immutable after
// open; any thread may read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/dataset.h"
#include "worker/data/list_rows.h"
#include "worker/data/source/source.h"

namespace ballast {

// A column of a block, decoded.
struct ColumnBlock {
  std::vector<ListRow> lists;  // of a list column one a row, into `values`
  Buffer values;               // of all rows; of lists all items
};

class ChunkReader {
 public:
  // kNotFound: no such file. kDataLoss: cut short or damaged.
  static Result<ChunkReader> open(const std::string& path);
  // The same, and the chunk must be what the manifest says: footer hash, size, columns, blocks.
  static Result<ChunkReader> open(const Dataset& dataset, uint32_t chunk);

  [[nodiscard]] const ChunkFooter& footer() const { return footer_; }
  [[nodiscard]] uint64_t footer_xxh3() const { return footer_xxh3_; }
  [[nodiscard]] const Object& file() const { return file_; }

  // What `column` counts in below: the data set's columns, or the chunk's own.
  [[nodiscard]] const std::vector<ColumnSpec>& columns() const { return columns_; }

  // Fills `raw` (rows * row_bytes) with a fixed column of a block, verified and decoded. kDataLoss
  // names chunk, block and column.
  [[nodiscard]] Status read_column(size_t block, size_t column, std::span<std::byte> raw) const;
  // The same for a column of either kind. kExhausted: no memory.
  Result<ColumnBlock> read_values(size_t block, size_t column) const;
  // All buffers of a block, of columns that were dropped as well.
  [[nodiscard]] Status verify_column(size_t block, size_t stored_column) const;
  // The table at the start of the block's bytes, where there is one, is what the footer says.
  [[nodiscard]] Status verify_table(size_t block, std::span<const std::byte> bytes) const;
  // All bytes of a block, compared with the hash its manifest keeps.
  Result<Buffer> read_block(size_t block, uint64_t expected_xxh3) const;
  // Every byte before the first block; nothing else covers them.
  [[nodiscard]] Status verify_head() const;

 private:
  static Result<ChunkReader> open(Object file);
  ChunkReader(Object file, ChunkFooter footer, uint64_t footer_xxh3);

  [[nodiscard]] std::string where(size_t block, const std::string& column) const;
  [[nodiscard]] Status read_buffer(size_t block, size_t buffer, std::span<std::byte> raw,
                                   const std::string& column) const;
  Result<ColumnBlock> read_stored(size_t block, size_t stored_column) const;
  Result<ColumnBlock> read_lists(size_t block, size_t stored_column) const;

  Object file_;
  ChunkFooter footer_;
  uint64_t footer_xxh3_;
  std::vector<ColumnSpec> columns_;
  std::vector<uint32_t> view_;  // for each of columns_: in the footer's, or kNoColumn
  bool tables_ = false;         // blocks begin with tables
};

}  // namespace ballast
