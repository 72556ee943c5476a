// Whether data.weight leaves anything to learn from. Pure but for reading.
#pragma once

#include <string>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace ballast {

// Reads the column until a row that weighs something is found, as a rule in the first block.
// kInvalidInput: no row does; kNotFound: no such column; others: those of ChunkReader.
[[nodiscard]] Status check_some_weight(const Dataset& dataset, const std::string& column);

}  // namespace ballast
