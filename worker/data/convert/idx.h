// IDX (the format of MNIST: big-endian header 00 00 type dimensions, sizes, values): one feature
// column of the images' shape and one label a row. Plain or gzip.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct IdxOptions {
  std::string features = "pixels";
  std::string label = "label";
  std::optional<ColumnType> label_type;  // nothing: as in the file
};

// Errors name file, byte, expected and found.
Result<std::unique_ptr<Format>> open_idx(const std::string& images, const std::string& labels,
                                         const IdxOptions& options);

}  // namespace ballast
