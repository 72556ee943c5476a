// How many rows of each class there are, by what the chunks' footers count: what data.balance goes
// by. Reads footers alone.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/dataset.h"
#include "worker/data/train_sets.h"

namespace ballast {

// Of each block of the training rows; all rows are counted. kInvalidInput: data.label is not the
// column that a set counts, or it has more different values in a block than footers count, or
// values beyond 2^53.
Result<std::vector<std::vector<LabelCount>>> count_classes(const DataConfig& data,
                                                           const Dataset& dataset);

// Samples of each class in an epoch as the rates have it, before data.balance: rows x rate, over
// all sets. `counts`: of each block.
[[nodiscard]] std::map<int64_t, double> class_sizes(
    const Dataset& dataset, std::span<const TrainSet> sets,
    std::span<const std::vector<LabelCount>> counts);

}  // namespace ballast
