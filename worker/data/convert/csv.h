// CSV -> a data set. One label column; columns named in `own_columns` stand alone (for one-hot or
// for a type of their own); all others are joined, in the order of the file, into one column of
// shape [k]. Separator inside quotes is text; "" inside quotes is a quote. Owner thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/dataset_writer.h"

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
  DatasetWriterOptions writer;
};

// Told now and then how many rows are done.
using ConvertProgress = std::function<void(uint64_t rows)>;

// Returns the rows written. Errors name file, line, column, expected and found; kInvalidInput.
Result<uint64_t> convert_csv(const std::vector<std::string>& sources, const std::string& folder,
                             const CsvOptions& options, const ConvertProgress& progress);

// "u8" -> ColumnType::kU8 ... kInvalidInput names the types there are.
Result<ColumnType> parse_column_type(const std::string& name);

}  // namespace ballast
