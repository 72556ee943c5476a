#include "worker/data/memory_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "worker/data/check_values.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/list_rows.h"
#include "worker/data/row_memory.h"

namespace ballast {
namespace {

constexpr uint32_t kRemoteThreads = 8;

}  // namespace

MemoryTable::MemoryTable(std::shared_ptr<const Dataset> dataset, RowPlan plan)
    : dataset_(std::move(dataset)), plan_(std::move(plan)) {}

Result<std::unique_ptr<const MemoryTable>> MemoryTable::load(std::shared_ptr<const Dataset> dataset,
                                                             RowPlan plan, uint32_t threads) {
  const auto chunks = static_cast<uint32_t>(dataset->manifest().chunks.size());
  std::unique_ptr<MemoryTable> table(new MemoryTable(std::move(dataset), std::move(plan)));
  for (const ColumnPlan& column : table->plan_.columns) {
    BALLAST_ASSIGN(Buffer memory, map_rows(table->dataset_->rows() * held_row_bytes(column.spec)));
    std::vector<Buffer> items(column.spec.variable ? table->dataset_->block_count() : 0);
    table->columns_.push_back({column, std::move(memory), std::move(items)});
  }

  // Each chunk has its own place for an outcome; the first in the data set's order is reported, so
  // that the message does not depend on the threads.
  std::vector<Status> outcomes(chunks);
  std::atomic<uint32_t> next{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    for (uint32_t chunk = next++; chunk < chunks && !failed; chunk = next++) {
      outcomes[chunk] = table->load_chunk(chunk);
      if (!outcomes[chunk].ok()) failed = true;
    }
  };
  {
    // A network answers many as quickly as one.
    if (table->dataset_->source()->is_remote()) threads = std::max(threads, kRemoteThreads);
    std::vector<std::jthread> helpers;
    for (uint32_t i = 1; i < std::min(threads, chunks); ++i) helpers.emplace_back(work);
    work();
  }
  for (const Status& outcome : outcomes) BALLAST_RETURN_IF_ERROR(outcome);
  return std::unique_ptr<const MemoryTable>(std::move(table));
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

void MemoryTable::read(uint64_t epoch, const RowRoom& room) const {
  const auto find = [&](size_t column, std::span<const std::byte*> places) {
    const uint64_t row_bytes = held_row_bytes(columns_[column].plan.spec);
    const std::byte* stored = columns_[column].memory.data();
    for (size_t i = 0; i < places.size(); ++i) places[i] = stored + room.ids[i] * row_bytes;
  };
  gather_rows(plan_, epoch, find, room);
}

}  // namespace ballast
