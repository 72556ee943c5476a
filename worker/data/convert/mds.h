// MDS, the shards of MosaicML Streaming (version 2): a folder with index.json and shard files.
// Uncompressed shards; columns of numbers and of arrays whose type and shape the index gives.
// Pickles are refused: to read one is to run it.
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
