#include "worker/data/memory_table.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>

#include "worker/data/chunk_reader.h"
#include "worker/data/column_values.h"

namespace ballast {

Result<Buffer> map_rows(uint64_t bytes) {
  try {
    Buffer memory = Buffer::map(bytes);
    madvise(memory.data(), bytes, MADV_HUGEPAGE);  // a hint
    return memory;
  } catch (const std::bad_alloc&) {
    return Status(Code::kExhausted, fmt::format("no memory for {} bytes of data", bytes));
  }
}

MemoryTable::MemoryTable(std::shared_ptr<const Dataset> dataset, RowPlan plan)
    : dataset_(std::move(dataset)), plan_(std::move(plan)) {}

Result<std::unique_ptr<const MemoryTable>> MemoryTable::load(std::shared_ptr<const Dataset> dataset,
                                                             RowPlan plan, uint32_t threads) {
  const auto chunks = static_cast<uint32_t>(dataset->manifest().chunks.size());
  std::unique_ptr<MemoryTable> table(new MemoryTable(std::move(dataset), std::move(plan)));
  std::vector<ColumnPlan> plans = table->plan_.features;
  if (table->plan_.has_label()) plans.push_back(table->plan_.label);
  for (ColumnPlan& column : plans) {
    BALLAST_ASSIGN(Buffer memory, map_rows(table->dataset_->rows() * column.spec.row_bytes()));
    table->columns_.push_back({std::move(column), std::move(memory)});
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
    std::vector<std::jthread> helpers;
    for (uint32_t i = 1; i < std::min(threads, chunks); ++i) helpers.emplace_back(work);
    work();
  }
  for (const Status& outcome : outcomes) BALLAST_RETURN_IF_ERROR(outcome);
  return std::unique_ptr<const MemoryTable>(std::move(table));
}

Status MemoryTable::load_chunk(uint32_t chunk) {
  BALLAST_ASSIGN(const ChunkReader reader, ChunkReader::open(*dataset_, chunk));
  for (const BlockPlace& block : dataset_->blocks_of(chunk)) {
    for (Column& column : columns_) {
      const uint64_t row_bytes = column.plan.spec.row_bytes();
      const std::span raw(column.memory.data() + block.first_row * row_bytes,
                          block.stored.rows * row_bytes);
      BALLAST_RETURN_IF_ERROR(reader.read_column(block.index_in_chunk, column.plan.column, raw));
      BALLAST_RETURN_IF_ERROR(check_values(column.plan, block, raw));
    }
  }
  return {};
}

Status MemoryTable::check_values(const ColumnPlan& plan, const BlockPlace& block,
                                 std::span<const std::byte> raw) const {
  const uint64_t index = find_unusable(plan, raw);
  if (index == raw.size() / element_bytes(plan.spec.type)) return {};
  const uint64_t row = block.first_row + index / plan.spec.width();
  const std::string expected = plan.classes > 0
                                   ? fmt::format("0 to {} for one_hot", plan.classes - 1)
                                   : std::string("a finite number");
  return Status(Code::kInvalidInput,
                fmt::format("{}, column \"{}\", value {}: {} expected, {} found",
                            dataset_->row_name(row), plan.spec.name, index % plan.spec.width(),
                            expected, value_text(plan.spec.type, raw, index)));
}

void MemoryTable::read(std::span<const uint64_t> rows, float* features, float* labels) const {
  float* out = features;
  for (size_t i = 0; i < plan_.features.size(); ++i) {
    gather(columns_[i].plan, columns_[i].memory.data(), rows, out, plan_.width);
    out += columns_[i].plan.width;
  }
  if (!plan_.has_label()) return;
  const Column& label = columns_.back();
  gather(label.plan, label.memory.data(), rows, labels, label.plan.width);
}

}  // namespace ballast
