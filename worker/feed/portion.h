// Portion: the unit of work of a feeder: a run of one lane's samples in one epoch, as large as
// travels well. Which rows it has is arithmetic (LaneSchedule and the order of the job), so a
// portion that is made twice is the same bytes, and nobody has to count who made it. Pure values;
// any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

#include "common/base/ids.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "common/wire/feed_messages.h"
#include "worker/data/memory_budget.h"

namespace ballast {

// A lane's portions are numbered over all epochs.
struct PortionId {
  LaneId lane;
  uint64_t number = 0;

  auto operator<=>(const PortionId&) const = default;
};

class PortionPlan {
 public:
  // row_bytes: as a row travels (PortionShape::row_bytes).
  PortionPlan(const LaneSchedule& schedule, uint64_t row_bytes);

  // The portion that holds sample i of the lane's epoch.
  [[nodiscard]] PortionId holding(uint64_t epoch, LaneId lane, uint64_t i) const;
  // Nothing: the job ends before it, or the lane has no rows.
  [[nodiscard]] std::optional<wire::RowRun> run_of(PortionId portion) const;

  // Of a portion; the last of an epoch has fewer.
  [[nodiscard]] uint32_t rows() const { return rows_; }
  [[nodiscard]] uint64_t bytes() const { return rows_ * row_bytes_; }
  // Portions of a lane that are kept around the one being read: what a batch made at the same time
  // may want of those before, and what is asked for ahead.
  [[nodiscard]] uint32_t behind() const { return batch_portions_; }
  [[nodiscard]] uint32_t ahead() const { return 2 * batch_portions_; }
  [[nodiscard]] uint32_t kept() const { return behind() + 1 + ahead() + batch_portions_; }

 private:
  [[nodiscard]] uint64_t portions_of_epoch(LaneId lane) const;

  LaneSchedule schedule_;  // whose steps are batches
  uint64_t row_bytes_;
  uint32_t rows_;
  uint32_t batch_portions_;  // that a lane's share of a batch may touch
};

// The largest portion a feeder makes; a row that is larger travels alone.
inline constexpr uint64_t kPortionBytesMax = uint64_t{16} << 20;

// How a job's portions are cut, and what its processes keep of them.
[[nodiscard]] PortionPlan portion_plan(const JobConfig& job, const LaneSchedule& schedule);
// Portions that one worker may have asked of one feeder and not yet received.
[[nodiscard]] uint32_t asks_per_feeder(const JobConfig& job);
// Of one worker with its share of the lanes; none without feeders. `job` is resolved.
[[nodiscard]] PortionMemory worker_portions(const JobConfig& job);
// Of one feeder: being made, and on their way to workers.
[[nodiscard]] PortionMemory feeder_portions(const JobConfig& job);

}  // namespace ballast
