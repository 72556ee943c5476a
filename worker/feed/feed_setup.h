// What a job's config says to its feeders and to the workers that ask them. Pure but for the
// transports that the rows of a worker will make.
#pragma once

#include <memory>

#include "common/base/ids.h"
#include "common/config/job_config.h"
#include "worker/data/row_source.h"
#include "worker/feed/fed_rows.h"
#include "worker/feed/feeder.h"

namespace ballast {

// `job` is resolved; `rows` are its training rows, as the process itself opened them.
[[nodiscard]] wire::FeedStamp feed_stamp(const JobConfig& job, const RowSource& rows);
[[nodiscard]] FeederSetup feeder_setup(const JobConfig& job, const RowSource& rows);
[[nodiscard]] FedRowsSetup fed_rows_setup(const JobConfig& job, WorkerId worker,
                                          const RowSource& rows);

}  // namespace ballast
