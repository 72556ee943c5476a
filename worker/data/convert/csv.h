// CSV and TSV: lines of numbers. One label column; columns named in `own_columns` stand alone (for
// one-hot or for a type of their own); all others are joined, in the order of the file, into one
// column of shape [k]. Separator inside quotes is text; "" inside quotes is a quote.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct OwnColumn {
  std::string which;  // name, or number from 0; negative counts from the end
  ColumnType type = ColumnType::kI32;
};

struct CsvOptions {
  bool header = false;  // the first line of every file names the columns
  char separator = ',';
  std::string label = "-1";  // name, or number from 0; negative counts from the end
  ColumnType label_type = ColumnType::kI32;
  std::string features = "features";  // name of the joined column
  ColumnType features_type = ColumnType::kF32;
  std::vector<uint32_t> shape;  // of the joined column; empty: [k]
  std::vector<OwnColumn> own_columns;
  bool allow_nonfinite = false;  // keep NaN and Inf; training refuses them
};

// Looks at the first line. Errors name file, line, column, expected and found; kInvalidInput.
Result<std::unique_ptr<Format>> open_csv(std::vector<std::string> sources,
                                         const CsvOptions& options);

// "u8" -> ColumnType::kU8 ... kInvalidInput names the types there are.
Result<ColumnType> parse_column_type(const std::string& name);

}  // namespace ballast
