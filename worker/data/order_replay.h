// OrderReplay: the rows of any step of a job, and the order ledger that they make, from the job's
// numbers and the sizes of the data set's blocks alone: no row is read. Goes through SampleOrder
// and StripOrder as the loader does. Going forward along a lane is cheap, any other step costs at
// most a strip. Owner thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/base/ids.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "worker/data/dataset.h"
#include "worker/data/order.h"
#include "worker/data/strip_order.h"

namespace ballast {

class OrderReplay {
 public:
  // `job` is resolved, its order not auto; `dataset` is its data.train.
  OrderReplay(const JobConfig& job, const Dataset& dataset);

  [[nodiscard]] const LaneSchedule& schedule() const { return schedule_; }
  // Of the data set, in the order they are trained; empty: the lane is absent from the step.
  [[nodiscard]] std::vector<uint64_t> rows(LaneId lane, Clock clock);
  // For each of `nexts`: the sum of step_hash() over the lane's steps below it. kNever: over all.
  [[nodiscard]] std::map<Clock, uint64_t> ledgers(LaneId lane, const std::set<Clock>& nexts);

 private:
  void enter_strip(LaneId lane, uint64_t strip);
  [[nodiscard]] std::vector<uint64_t> rows_of_piece(LaneId lane, uint64_t piece) const;

  const LaneSchedule schedule_;
  std::optional<SampleOrder> places_;  // full and none; nothing: strip
  const uint32_t window_;
  const uint64_t seed_;
  std::vector<uint32_t> block_rows_;  // strip: of each block
  std::vector<uint64_t> first_rows_;  // strip: of the data set, of each block

  // The strip that rows() was last asked for.
  std::optional<StripOrder> order_;
  uint64_t epoch_ = 0;
  LaneId lane_{};
  std::optional<uint64_t> strip_;
  std::map<uint64_t, std::vector<uint64_t>> pieces_;  // by number: permuted rows of the data set
  std::vector<uint64_t> strip_rows_;
};

}  // namespace ballast
