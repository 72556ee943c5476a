// MemoryTable: the columns of a RowPlan, all rows of a data set, in their stored types, verified.
// Immutable after load; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "worker/data/block_decoder.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

class MemoryTable {
 public:
  // Reads with `threads` threads. Errors: those of ChunkReader; kInvalidInput: a value that
  // training cannot use, with chunk, block, row and column.
  static Result<std::unique_ptr<const MemoryTable>> load(std::shared_ptr<const Dataset> dataset,
                                                         RowPlan plan, uint32_t threads);

  // What load() keeps for a row, at most: of list columns the mean.
  [[nodiscard]] static uint64_t row_bytes(const Dataset& dataset, const RowPlan& plan);
  // What each thread of load() takes beside that, at most: a column as stored with a codec, and
  // where its lists begin; 0: every column is read to where it stays.
  [[nodiscard]] static uint64_t load_bytes(const Dataset& dataset, const RowPlan& plan);

  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const { return dataset_; }
  [[nodiscard]] const RowPlan& plan() const { return plan_; }
  // The rows that room.ids names, as they are in these passes.
  void read(const RowPasses& passes, const RowRoom& room) const;
  // A fixed column of the plan: its values in a block, as stored.
  [[nodiscard]] std::span<const std::byte> column_of(const BlockPlace& block, size_t column) const;

 private:
  struct Column {
    ColumnPlan plan;
    Buffer memory;              // its rows, held_row_bytes() apart
    std::vector<Buffer> items;  // of lists: of each block
  };

  MemoryTable(std::shared_ptr<const Dataset> dataset, RowPlan plan);
  void cut_shares();
  [[nodiscard]] Status load_chunk(uint32_t chunk);
  [[nodiscard]] Status load_fixed(const ChunkReader& reader, const BlockPlace& block,
                                  Column& column);
  [[nodiscard]] Status load_lists(const ChunkReader& reader, const BlockPlace& block,
                                  Column& column);
  [[nodiscard]] std::vector<HeldColumn> held_columns(const BlockPlace& block) const;

  std::shared_ptr<const Dataset> dataset_;  // shared: batches keep it for row names
  RowPlan plan_;
  std::vector<Column> columns_;           // of the plan
  std::vector<const std::byte*> shares_;  // HeldRows::columns
  size_t share_count_ = 0;
};

}  // namespace ballast
