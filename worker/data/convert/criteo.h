// The two files in which Criteo's click logs are passed around. Both become three columns: dense
// [13], categories [26], label.
//   tsv   40 fields a line: label, 13 whole numbers, 26 numbers of 32 bits in hex; all but the
//   label
//         may be empty.
//   bin   records of 40 int32, little-endian, in the same order (what DLRM's loader reads).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/format.h"

namespace ballast {

struct CriteoOptions {
  std::string features = "dense";
  ColumnType features_type = ColumnType::kF32;  // i32 or f32
  std::string categories = "categories";
  // i32 keeps the 32 bits as they are, so that half of the ids are negative; i64 has 0 to 2^32 - 1.
  ColumnType categories_type = ColumnType::kI32;
  std::string label = "label";
  ColumnType label_type = ColumnType::kI32;  // i32 or u8
  int32_t missing = 0;                       // tsv: in place of an empty whole number
  uint32_t missing_category = 0;             // tsv: in place of an empty category
};

// Errors name file, line, field, expected and found.
Result<std::unique_ptr<Format>> open_criteo_tsv(std::vector<std::string> sources,
                                                const CriteoOptions& options);
// Errors name file, byte, expected and found.
Result<std::unique_ptr<Format>> open_criteo_bin(std::vector<std::string> sources,
                                                const CriteoOptions& options);

}  // namespace ballast
