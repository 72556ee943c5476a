// MDS, the shards of MosaicML Streaming (version 2): a folder with index.json and shard files, as
// they are or each compressed as a whole (zstd, gz). mds_column.h says what becomes of each
// encoding. Pictures are refused, since nothing here decodes them, and pickles, since to read one
// is to run it.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct MdsOptions {
  std::string label = "label";   // counted where there is such a column
  bool allow_nonfinite = false;  // keep NaN and Inf; training refuses them
};

// Errors name file, byte, shard or column, expected and found.
Result<std::unique_ptr<Format>> open_mds(const std::string& folder, const MdsOptions& options);

}  // namespace ballast
