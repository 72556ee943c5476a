// LibSVM (svmlight) text: "label [qid:N] index:value ..." with comments behind '#'. The values
// become one dense column of a width that must be given; what a line leaves out is 0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct SvmOptions {
  uint32_t width = 0;       // values a row
  bool zero_based = false;  // the first index is 0; otherwise 1
  bool qid = false;         // keep qid as a column of its own, i64, which every line must have
  std::string features = "features";
  ColumnType features_type = ColumnType::kF32;  // f32 or f16
  std::string label = "label";
  ColumnType label_type = ColumnType::kI32;
  bool allow_nonfinite = false;
};

// Errors name file, line, expected and found.
Result<std::unique_ptr<Format>> open_libsvm(std::vector<std::string> sources,
                                            const SvmOptions& options);

}  // namespace ballast
