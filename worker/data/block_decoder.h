// BlockDecoder: from the stored bytes of a block to the columns of a plan in memory. One range of a
// chunk is enough: where the buffers of a plain block lie is arithmetic, other blocks begin with
// the table of theirs (README.md, "The container, byte by byte"). What is stored as it is stays
// where it was read; what is not is decoded behind the stored bytes, in the same slot.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

// A column of a block. `rows`: row 0, held_row_bytes() from one to the next.
struct HeldColumn {
  const std::byte* rows = nullptr;
  std::span<const std::byte> values;  // of all rows; of lists all items
};

// Where the buffers of a block without a table lie, and its bytes.
struct PlainBlock {
  std::vector<BufferSpec> buffers;  // offset, bytes; no hashes
  uint64_t bytes = 0;
};
[[nodiscard]] PlainBlock plain_block(std::span<const ColumnSpec> columns, uint64_t rows);

class BlockDecoder {
 public:
  BlockDecoder(const Dataset& dataset, const RowPlan& plan);  // `dataset` outlives it

  // Room for the stored bytes of any block of the data set, and for what decoding adds.
  [[nodiscard]] uint64_t slot_bytes() const { return slot_bytes_; }

  // kDataLoss: other bytes, whose XXH3 is `found`, are stored there than were written; names chunk,
  // block and both hashes.
  [[nodiscard]] Status verify(const BlockPlace& place, uint64_t found) const;
  // `slot` begins with the block's bytes, verified, and has slot_bytes(); aligned to 64. Gives the
  // columns of the plan, inside the slot. kDataLoss, kInvalidInput: names chunk,
  // block and column.
  Result<std::vector<HeldColumn>> decode(const BlockPlace& place, std::span<std::byte> slot) const;

 private:
  class Room;

  [[nodiscard]] uint64_t decoded_bytes(const ChunkLayout& layout, uint64_t rows) const;
  Result<HeldColumn> decode_column(const ColumnPlan& column, const BlockPlace& place,
                                   std::span<const BufferSpec> buffers,
                                   std::span<const std::byte> stored, Room& room) const;

  const Dataset& dataset_;
  std::vector<ColumnPlan> columns_;  // of the plan
  uint64_t slot_bytes_ = 0;
};

// rows * column.row_bytes() bytes of the default value. kDataLoss: it is no value of that type.
[[nodiscard]] Status fill_default(const ColumnSpec& column, std::span<std::byte> values,
                                  const std::string& where);

}  // namespace ballast
