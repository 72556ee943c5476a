// OrderReplay: the rows of any step of a job, and the order ledger that they make, from the job's
// numbers and the sizes of the data set's blocks: no row is read, but for the labels where the job
// samples classes. Goes through SampleOrder, StripOrder and BlockSampling as the loader does. Going
// forward along a lane is cheap, any other step costs at most a strip. Owner thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/base/ids.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "worker/data/block_sampling.h"
#include "worker/data/dataset.h"
#include "worker/data/order.h"
#include "worker/data/strip_order.h"

namespace ballast {

class OrderReplay {
 public:
  // `job` is resolved, its order not auto; `dataset` has its training rows. Errors: those of
  // BlockSampling::open; kInvalidInput: the data set has other rows than the job.
  static Result<OrderReplay> open(const JobConfig& job, std::shared_ptr<const Dataset> dataset);

  [[nodiscard]] const LaneSchedule& schedule() const { return schedule_; }
  // Of the data set, in the order they are trained; empty: the lane is absent from the step.
  // Errors: those of reading the labels, where the job samples classes; none else.
  Result<std::vector<uint64_t>> rows(LaneId lane, Clock clock);
  // For each of `nexts`: the sum of batch_hash() over the lane's steps below it. kNever: over all.
  Result<std::map<Clock, uint64_t>> ledgers(LaneId lane, const std::set<Clock>& nexts);

 private:
  OrderReplay(const JobConfig& job, std::shared_ptr<const Dataset> dataset, BlockSampling sampling);
  [[nodiscard]] uint64_t hash_of(LaneId lane, Clock clock, std::span<const uint64_t> taken) const;
  void enter_epoch(uint64_t epoch);
  Status take_places(std::span<uint64_t> places);
  Status enter_strip(LaneId lane, uint64_t strip);
  Result<std::vector<uint64_t>> rows_of_piece(LaneId lane, uint64_t piece) const;
  Result<std::vector<uint32_t>> rows_by_class(uint64_t block) const;

  const LaneSchedule schedule_;
  std::optional<SampleOrder> places_;  // full and none; nothing: strip
  const uint32_t window_;
  const uint64_t seed_;
  std::string label_;
  std::shared_ptr<const Dataset> dataset_;
  BlockSampling sampling_;
  std::map<uint64_t, std::vector<uint32_t>> by_class_;  // full, where classes are sampled: by block

  // The epoch, and the strip, that rows() was last asked for.
  std::optional<SampledEpoch> epoch_;
  std::optional<StripOrder> order_;
  LaneId lane_{};
  std::optional<uint64_t> strip_;
  std::map<uint64_t, std::vector<uint64_t>> pieces_;  // by number: permuted rows of the data set
  std::vector<uint64_t> strip_rows_;
};

}  // namespace ballast
