// libffm text: "label field:feature:value ..." with comments behind '#'. A row becomes three
// columns of lists of equal length: fields, ids (the features) and values, in the order of the
// line, since a field may have several features and the same one more than once. Fields and
// features count from 0, as libffm counts them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct FfmOptions {
  uint32_t width = 0;  // how many features there may be; 0: as many as the type holds
  std::string fields = "fields";
  std::string ids = "ids";
  std::string values = "values";
  ColumnType values_type = ColumnType::kF32;  // f32 or f16
  ColumnType ids_type = ColumnType::kI32;     // of fields and ids, i32 or i64
  std::string label = "label";
  ColumnType label_type = ColumnType::kI32;
  bool allow_nonfinite = false;
};

// Errors name file, line, expected and found.
Result<std::unique_ptr<Format>> open_libffm(std::vector<std::string> sources,
                                            const FfmOptions& options);

}  // namespace ballast
