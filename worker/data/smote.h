// SMOTE: synthetic rows for the classes that are smaller than the largest (Chawla, Bowyer, Hall and
// Kegelmeyer, JAIR 2002). Each is x + gap * (neighbour - x): x a row of the class, the neighbour
// one of its k nearest of the same class, gap uniform in [0, 1). A pure function of the data set
// and the options; holds the whole data set in memory. Writes as it goes, nothing is left after a
// failure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace ballast {

struct SmoteOptions {
  uint32_t neighbours = 5;
  uint64_t seed = 1;
  uint64_t memory_mib = 1024;       // at most, for the rows
  bool overwrite = false;           // replace a data set that stands in the folder
  std::vector<std::string> copied;  // columns that are x's, not interpolated: categories, names
};

struct SmoteClass {
  int64_t label = 0;
  uint64_t rows = 0;  // in the source
  uint64_t made = 0;  // so many more
};

// Distances are Euclidean, over all values of all columns but the label and the copied ones, as
// stored. Whole numbers are rounded, and exact in all of their 64 bits. The rows of the source come
// first, as they are; then the classes ascending, each brought to the size of the largest, its rows
// taken as x equally often (to one). Equally near neighbours: the lower row first. `progress` is
// told how many rows were made. kInvalidInput: no label column of whole numbers, a class of one
// row, a value that is not finite, more rows than memory_mib holds, no such column to copy, a data
// set stands in `out`.
Result<std::vector<SmoteClass>> smote(const std::string& source, const std::string& out,
                                      const SmoteOptions& options,
                                      const std::function<void(uint64_t)>& progress = {});

}  // namespace ballast
