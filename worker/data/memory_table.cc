#include "worker/data/memory_table.h"

#include <algorithm>
#include <cstring>

#include "worker/data/check_values.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/each_chunk.h"
#include "worker/data/list_rows.h"
#include "worker/data/repair.h"
#include "worker/data/row_memory.h"

namespace ballast {

MemoryTable::MemoryTable(std::shared_ptr<const Dataset> dataset, RowPlan plan)
    : dataset_(std::move(dataset)), plan_(std::move(plan)) {}

Result<std::unique_ptr<const MemoryTable>> MemoryTable::load(std::shared_ptr<const Dataset> dataset,
                                                             RowPlan plan, uint32_t threads) {
  std::unique_ptr<MemoryTable> table(new MemoryTable(std::move(dataset), std::move(plan)));
  for (const ColumnPlan& column : table->plan_.columns) {
    BALLAST_ASSIGN(Buffer memory, map_rows(table->dataset_->rows() * held_row_bytes(column.spec)));
    std::vector<Buffer> items(column.spec.variable ? table->dataset_->block_count() : 0);
    table->columns_.push_back({column, std::move(memory), std::move(items)});
  }
  table->cut_shares();

  const Status loaded = for_each_chunk(*table->dataset_, threads,
                                       [&](uint32_t chunk) { return table->load_chunk(chunk); });
  if (!loaded.ok()) return with_way_out(loaded, *table->dataset_);
  return std::unique_ptr<const MemoryTable>(std::move(table));
}

// A row's number is its place (HeldRows).
void MemoryTable::cut_shares() {
  constexpr uint64_t kShareRows = uint64_t{1} << 32;
  share_count_ = dataset_->rows() / kShareRows + 1;
  for (const Column& column : columns_) {
    const uint64_t share_bytes = kShareRows * held_row_bytes(column.plan.spec);
    for (size_t share = 0; share < share_count_; ++share) {
      shares_.push_back(column.memory.data() + share * share_bytes);
    }
  }
}

uint64_t MemoryTable::row_bytes(const Dataset& dataset, const RowPlan& plan) {
  uint64_t bytes = 0;
  for (const ColumnPlan& column : plan.columns) {
    bytes += held_row_bytes(column.spec);
    if (!column.spec.variable || dataset.rows() == 0) continue;
    bytes += (dataset.list_bytes(column.column) + dataset.rows() - 1) / dataset.rows();
  }
  return bytes;
}

uint64_t MemoryTable::load_bytes(const Dataset& dataset, const RowPlan& plan) {
  const bool lists = std::ranges::any_of(
      plan.columns, [](const ColumnPlan& column) { return column.spec.variable; });
  uint64_t most = 0;
  for (uint64_t index = 0; index < dataset.block_count(); ++index) {
    const BlockPlace block = dataset.block(index);
    if (!dataset.layout_of(block.chunk).tables) continue;  // its columns are read where they stay
    const uint64_t offsets = lists ? (block.stored.rows + 1) * sizeof(uint64_t) : 0;
    const uint64_t rows = lists ? block.stored.rows * sizeof(ListRow) : 0;
    most = std::max(most, block.stored.bytes + offsets + rows);
  }
  return most;
}

Status MemoryTable::load_chunk(uint32_t chunk) {
  BALLAST_ASSIGN(const ChunkReader reader, ChunkReader::open(*dataset_, chunk));
  for (const BlockPlace& block : dataset_->blocks_of(chunk)) {
    for (Column& column : columns_) {
      BALLAST_RETURN_IF_ERROR(column.plan.spec.variable ? load_lists(reader, block, column)
                                                        : load_fixed(reader, block, column));
    }
    BALLAST_RETURN_IF_ERROR(check_pairs(*dataset_, plan_, block, held_columns(block)));
  }
  return {};
}

Status MemoryTable::load_fixed(const ChunkReader& reader, const BlockPlace& block, Column& column) {
  const uint64_t row_bytes = column.plan.spec.row_bytes();
  const std::span raw(column.memory.data() + block.first_row * row_bytes,
                      block.stored.rows * row_bytes);
  BALLAST_RETURN_IF_ERROR(reader.read_column(block.index_in_chunk, column.plan.column, raw));
  return check_values(*dataset_, column.plan, block, {raw.data(), raw});
}

Status MemoryTable::load_lists(const ChunkReader& reader, const BlockPlace& block, Column& column) {
  BALLAST_ASSIGN(ColumnBlock read, reader.read_values(block.index_in_chunk, column.plan.column));
  std::byte* rows = column.memory.data() + block.first_row * sizeof(ListRow);
  std::memcpy(rows, read.lists.data(), read.lists.size() * sizeof(ListRow));
  Buffer& items = column.items[dataset_->place(block.first_row).block];
  items = std::move(read.values);
  return check_values(*dataset_, column.plan, block, {rows, std::as_const(items).bytes()});
}

// Of this block; without their values.
std::vector<HeldColumn> MemoryTable::held_columns(const BlockPlace& block) const {
  std::vector<HeldColumn> held;
  for (const Column& column : columns_) {
    held.push_back({column.memory.data() + block.first_row * held_row_bytes(column.plan.spec), {}});
  }
  return held;
}

void MemoryTable::read(const RowPasses& passes, const RowRoom& room) const {
  gather_rows(plan_, passes, {room.ids, shares_, share_count_}, room);
}

std::span<const std::byte> MemoryTable::column_of(const BlockPlace& block, size_t column) const {
  const uint64_t row_bytes = columns_[column].plan.spec.row_bytes();
  return columns_[column].memory.bytes().subspan(block.first_row * row_bytes,
                                                 block.stored.rows * row_bytes);
}

}  // namespace ballast
