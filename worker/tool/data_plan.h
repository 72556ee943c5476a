// `ballast-tool data plan`: what a job will ask of memory, disk and the place its data lies in,
// before it starts. Reads manifests; one thread.
#pragma once

#include <ostream>
#include <string>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/data/block_sampling.h"
#include "worker/data/dataset.h"
#include "worker/tool/resolve_command.h"

namespace ballast {

struct DataPlan {
  uint64_t stored_bytes = 0;       // of the training set's chunks
  uint64_t epoch_bytes = 0;        // read in each epoch, over all workers
  uint64_t epoch_requests = 0;     // reads of a block, or of a column of one
  uint64_t first_epoch_bytes = 0;  // at the start, rows that are held in memory
  double blocks_per_batch = 0;     // distinct ones that a step of all lanes mixes, on average
  double bytes_per_sample = 0;     // read for each sample of an epoch
};

// `job` is resolved, `train` has its training rows, `sampling` says which are taken.
[[nodiscard]] DataPlan plan_data(const JobConfig& job, const Dataset& train,
                                 const BlockSampling& sampling);

// samples_per_second of a run's summary.json. kNotFound, kInvalidInput: there is none.
Result<double> measured_rate(const std::string& run_dir);

// The plan in words; `samples_per_second` 0: not known, so MB/s are told for each 1,000 of them.
Status run_data_plan(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                     double samples_per_second, std::ostream& out);

}  // namespace ballast
