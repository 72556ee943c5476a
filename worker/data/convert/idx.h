// IDX (the format of MNIST: big-endian header 00 00 type dimensions, sizes, values) -> a data set
// with one feature column of the images' shape and one label a row. Plain or gzip. Owner thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "worker/data/convert/csv.h"
#include "worker/data/dataset_writer.h"

namespace ballast {

struct IdxOptions {
  std::string features = "pixels";
  std::string label = "label";
  std::optional<ColumnType> label_type;  // nothing: as in the file
  DatasetWriterOptions writer;
};

// Returns the rows written. Errors name file, byte, expected and found.
Result<uint64_t> convert_idx(const std::string& images, const std::string& labels,
                             const std::string& folder, const IdxOptions& options,
                             const ConvertProgress& progress);

}  // namespace ballast
