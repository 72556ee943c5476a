#include "worker/data/eval_loader.h"

#include <algorithm>
#include <numeric>

#include "common/base/check.h"
#include "worker/data/batch_shape.h"
#include "worker/data/memory_table.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {

EvalSlice eval_slice(uint64_t rows, LaneId lane, uint32_t lanes) {
  BALLAST_CHECK(lane.value() < lanes);
  // rows * lane / lanes without passing 64 bits: whole lanes' shares, then the remainder's.
  const auto cut = [=](uint64_t at) { return rows / lanes * at + rows % lanes * at / lanes; };
  return {cut(lane.value()), cut(uint64_t{lane.value()} + 1)};
}

Result<std::unique_ptr<EvalLoader>> EvalLoader::open(const JobConfig& config,
                                                     const std::string& folder, uint32_t lanes,
                                                     uint32_t batch_rows_max) {
  BALLAST_CHECK(lanes > 0 && batch_rows_max > 0);
  BALLAST_ASSIGN(std::shared_ptr<const Dataset> dataset,
                 open_filled_dataset(folder, access_of(config.data)));
  BALLAST_ASSIGN(RowPlan plan, plan_rows(*dataset, config.data));
  BALLAST_ASSIGN(std::unique_ptr<const MemoryTable> table,
                 MemoryTable::load(std::move(dataset), std::move(plan), config.data.threads));
  return std::unique_ptr<EvalLoader>(new EvalLoader(std::move(table), lanes, batch_rows_max));
}

EvalLoader::EvalLoader(std::unique_ptr<const MemoryTable> table, uint32_t lanes,
                       uint32_t batch_rows_max)
    : table_(std::move(table)),
      lanes_(lanes),
      batch_rows_max_(batch_rows_max),
      pool_(BatchShape{batch_rows_max, table_->plan().width, table_->plan().label.width}.bytes(),
            1 /* a caller is done with one before it takes the next */) {}

EvalLoader::~EvalLoader() = default;

uint64_t EvalLoader::rows() const {
  return table_->dataset()->rows();
}
uint32_t EvalLoader::width() const {
  return table_->plan().width;
}
uint32_t EvalLoader::label_width() const {
  return table_->plan().label.width;
}

uint64_t EvalLoader::batches(LaneId lane) const {
  const uint64_t mine = eval_slice(rows(), lane, lanes_).rows();
  return (mine + batch_rows_max_ - 1) / batch_rows_max_;
}

Batch EvalLoader::take(LaneId lane, uint64_t index) {
  BALLAST_CHECK(index < batches(lane));
  const EvalSlice slice = eval_slice(rows(), lane, lanes_);
  const uint64_t first = slice.first + index * batch_rows_max_;
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(batch_rows_max_, slice.last - first));
  Batch batch;
  const BatchShape shape{count, width(), label_width()};
  const auto arrays = shape.lay_out(pool_.take(), batch);
  std::iota(arrays.ids, arrays.ids + count, first);
  constexpr uint64_t kNoEpoch = 0;  // nothing of an evaluation depends on it
  table_->read(kNoEpoch, {{arrays.ids, count}, arrays.features, arrays.labels, arrays.weights});
  batch.number = index;
  batch.lanes = {lane};
  batch.dataset = table_->dataset();
  return batch;
}

}  // namespace ballast
