#include "worker/feed/portion.h"

#include <algorithm>

#include "worker/feed/portion_rows.h"

namespace ballast {
namespace {

// Long enough that asking for it costs nothing, short enough that one more does not matter.
constexpr uint64_t kPortionBytes = 1 << 20;

uint32_t rows_of_portion(const LaneSchedule& schedule, uint64_t row_bytes) {
  const uint64_t share = schedule.lane_batch();
  const uint64_t fits = std::max<uint64_t>(1, kPortionBytes / row_bytes);
  uint64_t rows = fits / share * share;  // whole batches
  if (rows == 0) rows = std::min(share, std::max<uint64_t>(1, kPortionBytesMax / row_bytes));
  return static_cast<uint32_t>(std::min(rows, schedule.lane_rows(LaneId(0))));
}

}  // namespace

PortionPlan::PortionPlan(const LaneSchedule& schedule, uint64_t row_bytes)
    : schedule_(schedule.of_batches()),
      row_bytes_(row_bytes),
      rows_(std::max(1u, rows_of_portion(schedule, row_bytes))),
      batch_portions_((schedule.lane_batch() + rows_ - 1) / rows_) {}

uint64_t PortionPlan::portions_of_epoch(LaneId lane) const {
  return (schedule_.lane_rows(lane) + rows_ - 1) / rows_;
}

PortionId PortionPlan::holding(uint64_t epoch, LaneId lane, uint64_t i) const {
  return {lane, epoch * portions_of_epoch(lane) + i / rows_};
}

std::optional<wire::RowRun> PortionPlan::run_of(PortionId portion) const {
  const uint64_t portions = portions_of_epoch(portion.lane);
  if (portions == 0 || schedule_.steps() == 0) return std::nullopt;
  const uint64_t epoch = portion.number / portions;
  const uint64_t first = portion.number % portions * rows_;
  const Clock batch = epoch * schedule_.steps_per_epoch() + first / schedule_.lane_batch();
  if (batch >= schedule_.steps()) return std::nullopt;
  const uint64_t left = schedule_.lane_rows(portion.lane) - first;
  return wire::RowRun{epoch, portion.lane, first,
                      static_cast<uint32_t>(std::min<uint64_t>(rows_, left))};
}

PortionPlan portion_plan(const JobConfig& job, const LaneSchedule& schedule) {
  const PortionShape shape{job.resolved.row_feature_bytes(), job.resolved.label_width};
  return PortionPlan(schedule, shape.row_bytes());
}

uint32_t asks_per_feeder(const JobConfig& job) {
  constexpr uint32_t kOfAllWorkers = 32;
  constexpr uint32_t kLeast = 4;  // being made, on its way, and two to go on with
  return std::max(kLeast, kOfAllWorkers / job.cluster.workers);
}

PortionMemory worker_portions(const JobConfig& job) {
  if (job.cluster.feeders == 0) return {};
  const LaneSchedule schedule = schedule_of(job);
  const PortionPlan plan = portion_plan(job, schedule);
  const uint64_t lanes = (schedule.lanes() + job.cluster.workers - 1) / job.cluster.workers;
  return {lanes * plan.kept(), plan.bytes()};
}

PortionMemory feeder_portions(const JobConfig& job) {
  return {uint64_t{job.cluster.workers} * asks_per_feeder(job),
          portion_plan(job, schedule_of(job)).bytes()};
}

}  // namespace ballast
