// Opens the training rows of a job: all of them in memory, or streamed, as data.order says.
#pragma once

#include <memory>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "worker/data/memory_budget.h"
#include "worker/data/row_source.h"

namespace ballast {

// `config` is resolved, data.order not auto; `schedule` must have been made for its rows; `memory`:
// the blocks that a stream may hold. Errors: everything plan_rows refuses; of rows in memory those
// of RowSource::read; kInvalidInput: the data set has other rows than the schedule.
Result<std::unique_ptr<RowSource>> open_rows(const JobConfig& config, const LaneSchedule& schedule,
                                             const LoaderMemory& memory);

}  // namespace ballast
