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
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

class MemoryTable {
 public:
  // Reads with `threads` threads. Errors: those of ChunkReader; kInvalidInput: a value that
  // training cannot use, with chunk, block, row and column.
  static Result<std::unique_ptr<const MemoryTable>> load(std::shared_ptr<const Dataset> dataset,
                                                         RowPlan plan, uint32_t threads);

  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const { return dataset_; }
  [[nodiscard]] const RowPlan& plan() const { return plan_; }
  // features[rows.size(), plan.width] and labels[rows.size(), plan.label.width].
  void read(std::span<const uint64_t> rows, float* features, float* labels) const;

 private:
  struct Column {
    ColumnPlan plan;
    Buffer memory;
  };

  MemoryTable(std::shared_ptr<const Dataset> dataset, RowPlan plan);
  [[nodiscard]] Status load_chunk(uint32_t chunk);

  std::shared_ptr<const Dataset> dataset_;  // shared: batches keep it for row names
  RowPlan plan_;
  std::vector<Column> columns_;  // the features, then the label if there is one
};

}  // namespace ballast
