// Fills JobConfig.resolved from the manifests of the training sets and data.test: rows, samples of
// an epoch, widths after transforms, block sizes, manifest hashes. Reads manifests, and footers
// where classes are balanced. Every error names the folder and the column.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/data/train_sets.h"
#include "worker/data/transform.h"

namespace ballast {

// kNotFound: a folder or a column that does not exist (with the nearest that does). kInvalidInput:
// a column of a type the transform or the label cannot have, an empty data set, train and test that
// do not fit each other, rows that all weigh 0, training sets that do not, what BlockSampling
// refuses. kDataLoss: a damaged manifest. kUnavailable: an address nobody answers at
// (kFirstContact, access.h).
[[nodiscard]] Status resolve_shapes(JobConfig& config);

// The part of it that a worker measures again: all but classes and samples, which stay.
[[nodiscard]] Status measure_shapes(JobConfig& config);

// What rows are made into while training. `config` is resolved.
[[nodiscard]] RowUse training_use(const JobConfig& config);

}  // namespace ballast
