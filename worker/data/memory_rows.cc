#include "worker/data/memory_rows.h"

#include <algorithm>

namespace ballast {
namespace {

constexpr size_t kEpochsKept = 3;  // lanes may stand in neighbouring ones

}  // namespace

Result<std::unique_ptr<RowSource>> MemoryRows::open(std::unique_ptr<const MemoryTable> table,
                                                    BlockSampling sampling,
                                                    const SampleOrder& order) {
  std::unique_ptr<MemoryRows> rows(new MemoryRows(std::move(table), std::move(sampling), order));
  BALLAST_RETURN_IF_ERROR(rows->sort_rows());
  return std::unique_ptr<RowSource>(std::move(rows));
}

MemoryRows::MemoryRows(std::unique_ptr<const MemoryTable> table, BlockSampling sampling,
                       const SampleOrder& order)
    : table_(std::move(table)), sampling_(std::move(sampling)), order_(order) {}

Status MemoryRows::sort_rows() {
  if (!sampling_.by_class()) return {};
  const Dataset& data = *dataset();
  const size_t label = plan().label.input;
  by_class_.resize(data.rows());
  for (uint64_t block = 0; block < data.block_count(); ++block) {
    const BlockPlace place = data.block(block);
    BALLAST_ASSIGN(
        const std::vector<uint32_t> sorted,
        sampling_.rows_by_class(block, plan().columns[label].spec, table_->column_of(place, label),
                                data.block_name(place)));
    std::ranges::copy(sorted, by_class_.begin() + static_cast<ptrdiff_t>(place.first_row));
  }
  return {};
}

Status MemoryRows::read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) {
  order_.positions(epoch, lane, first, room.ids);
  if (sampling_.each_row_once()) {
    table_->read(epoch, room);
  } else {
    std::vector<uint32_t> passes(room.ids.size());
    take(*epoch_of(epoch), room.ids, passes);
    table_->read(RowPasses(passes), room);
  }
  if (room.blocks == nullptr) return {};
  for (uint64_t row : room.ids) room.blocks->push_back(dataset()->place(row).block);
  return {};
}

std::shared_ptr<const SampledEpoch> MemoryRows::epoch_of(uint64_t number) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<const SampledEpoch>& epoch = epochs_[number];
  if (epoch == nullptr) epoch = std::make_shared<const SampledEpoch>(sampling_.epoch(number));
  const std::shared_ptr<const SampledEpoch> found = epoch;
  if (epochs_.size() > kEpochsKept) epochs_.erase(epochs_.begin());
  return found;
}

void MemoryRows::take(const SampledEpoch& epoch, std::span<uint64_t> places,
                      std::span<uint32_t> passes) const {
  for (size_t i = 0; i < places.size(); ++i) {
    const SampledEpoch::Place at = epoch.place_of(places[i]);
    const BlockPlace block = dataset()->block(at.block);
    std::span<const uint32_t> by_class;
    if (!by_class_.empty()) {
      by_class = std::span(by_class_).subspan(block.first_row, block.stored.rows);
    }
    const BlockSampling::Taken taken = sampling_.take(epoch, at.block, at.place, by_class);
    places[i] = block.first_row + taken.row;
    passes[i] = taken.pass;
  }
}

}  // namespace ballast
