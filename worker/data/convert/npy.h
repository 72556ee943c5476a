// NumPy's .npy (versions 1 to 3, C order): one array a column, all with the same number of rows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct NpyColumn {
  std::string name;
  std::string path;
};

struct NpyOptions {
  std::vector<NpyColumn> columns;
  std::string label;             // one of the columns, or empty
  bool allow_nonfinite = false;  // keep NaN and Inf; training refuses them
};

// Errors name file, byte, expected and found.
Result<std::unique_ptr<Format>> open_npy(const NpyOptions& options);

}  // namespace ballast
