// MemoryRows: rows of a data set that is held in memory, in the order `full` or `none`. Immutable;
// any thread, without waiting.
#pragma once

#include <memory>

#include "worker/data/memory_table.h"
#include "worker/data/order.h"
#include "worker/data/row_source.h"

namespace ballast {

class MemoryRows final : public RowSource {
 public:
  MemoryRows(std::unique_ptr<const MemoryTable> table, const SampleOrder& order)
      : table_(std::move(table)), order_(order) {}

  Status read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) override {
    order_.positions(epoch, lane, first, room.ids);
    table_->read(epoch, room);
    if (room.blocks == nullptr) return {};
    for (uint64_t row : room.ids) room.blocks->push_back(dataset()->place(row).block);
    return {};
  }
  void forget(LaneId) override {}
  void stop() override {}
  [[nodiscard]] bool in_memory() const override { return true; }
  [[nodiscard]] const RowPlan& plan() const override { return table_->plan(); }
  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const override {
    return table_->dataset();
  }

 private:
  const std::unique_ptr<const MemoryTable> table_;
  const SampleOrder order_;
};

}  // namespace ballast
