// Rows of a data set as a data set of their own: same columns, label and values, in the order
// given.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace ballast {

// Holds the rows in memory, and one column of one block at a time. Blocks are verified as they are
// read. Errors: those of ChunkReader and of DatasetWriter::create; then `folder` is as it was.
[[nodiscard]] Status copy_rows(const Dataset& dataset, std::span<const uint64_t> rows,
                               const std::string& folder, bool overwrite);

}  // namespace ballast
