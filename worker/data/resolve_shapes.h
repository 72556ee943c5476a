// Fills JobConfig.resolved from the manifests of data.train and data.test: rows, widths after
// transforms, block sizes, manifest hashes. Reads manifests only. Every error names the folder and
// the column.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

// kNotFound: a folder or a column that does not exist (with the nearest that does). kInvalidInput:
// a column of a type the transform or the label cannot have, an empty data set, train and test that
// do not fit each other. kDataLoss: a damaged manifest.
[[nodiscard]] Status resolve_shapes(JobConfig& config);

// What rows are made into while training. `config` is resolved.
[[nodiscard]] RowUse training_use(const JobConfig& config);

// Dataset::open, and kInvalidInput when it has no rows.
Result<std::shared_ptr<const Dataset>> open_filled_dataset(const std::string& folder,
                                                           const Access& access = {});

}  // namespace ballast
