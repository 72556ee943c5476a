// MemoryRows: rows of a data set that is held in memory, in the order `full` or `none`. Any thread,
// without waiting, but where rows are resampled for the numbers of a new epoch.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "worker/data/block_sampling.h"
#include "worker/data/memory_table.h"
#include "worker/data/order.h"
#include "worker/data/row_source.h"

namespace ballast {

class MemoryRows final : public RowSource {
 public:
  // `sampling` is of the table's data set, `order` of as many places as it has samples. kDataLoss:
  // a block has other labels than its chunk counts.
  static Result<std::unique_ptr<RowSource>> open(std::unique_ptr<const MemoryTable> table,
                                                 BlockSampling sampling, const SampleOrder& order);

  Status read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) override;
  void forget(LaneId) override {}
  void stop() override {}
  [[nodiscard]] bool in_memory() const override { return true; }
  [[nodiscard]] const RowPlan& plan() const override { return table_->plan(); }
  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const override {
    return table_->dataset();
  }

 private:
  MemoryRows(std::unique_ptr<const MemoryTable> table, BlockSampling sampling,
             const SampleOrder& order);
  [[nodiscard]] Status sort_rows();
  std::shared_ptr<const SampledEpoch> epoch_of(uint64_t number);
  // Turns places on the line of all samples into rows of the data set.
  void take(const SampledEpoch& epoch, std::span<uint64_t> places,
            std::span<uint32_t> passes) const;

  const std::unique_ptr<const MemoryTable> table_;
  const BlockSampling sampling_;
  const SampleOrder order_;
  std::vector<uint32_t> by_class_;  // of the blocks, one after another; empty: no classes

  std::mutex mutex_;                                                // guards all below
  std::map<uint64_t, std::shared_ptr<const SampledEpoch>> epochs_;  // by number, the newest
};

}  // namespace ballast
