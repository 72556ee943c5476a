// LibSVM (svmlight) text: "label [qid:N] index:value ..." with comments behind '#'. Dense: the
// values become one column of a width that must be given, what a line leaves out is 0. Sparse: they
// become two columns of lists, ids and values. Either way the file's first index, 1 unless
// zero_based, becomes place or id 0, a row stands in rising order whatever the order of its line,
// and an index that is given twice is refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct SvmOptions {
  uint32_t width =
      0;  // values a row; sparse: how many ids there may be, 0 as many as the type holds
  bool sparse = false;
  bool zero_based = false;  // the first index is 0; otherwise 1
  bool qid = false;         // keep qid as a column of its own, i64, which every line must have
  std::string features = "features";            // dense
  std::string ids = "ids";                      // sparse
  std::string values = "values";                // sparse
  ColumnType features_type = ColumnType::kF32;  // of the values, f32 or f16
  ColumnType ids_type = ColumnType::kI32;       // sparse: i32 or i64
  std::string label = "label";
  ColumnType label_type = ColumnType::kI32;
  bool allow_nonfinite = false;
};

// Errors name file, line, expected and found.
Result<std::unique_ptr<Format>> open_libsvm(std::vector<std::string> sources,
                                            const SvmOptions& options);

}  // namespace ballast
