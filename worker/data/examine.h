// What people ask of a data set: is it whole, what is in it, how are its values spread. Reads block
// by block in bounded memory. Pure but for reading.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace ballast {

// Reads every byte and compares every hash. One status for each thing that is wrong, in the order
// of the data; empty: all is well.
[[nodiscard]] std::vector<Status> verify_dataset(const std::string& folder);

// Every chunk is there, of the size the manifest says, with its head and its footer whole; what
// lies between is not read. One status for each chunk that is not, in the order of the data.
[[nodiscard]] std::vector<Status> verify_chunks(const Dataset& dataset);

// How often each label occurs, from the footers alone; empty when there is no integer label. Blocks
// with more different labels than a footer counts are left out.
Result<std::vector<LabelCount>> count_labels(const Dataset& dataset);

struct ColumnStatistics {
  ColumnSpec spec;
  uint64_t nonfinite = 0;  // values left out of all below
  double min = 0;
  double max = 0;
  // Over all values first; then, from index 1, one for each value of a row.
  std::vector<double> mean;
  std::vector<double> std;
};
Result<std::vector<ColumnStatistics>> measure_columns(const Dataset& dataset);

// The `data.transform` lines that standardize a column: one mean and std, or one for each value of
// a row. A std of 0 is written as 1.
[[nodiscard]] std::string standardize_toml(const ColumnStatistics& statistics, bool per_value);

// The first `count` rows, one line a column, at most `values_max` values of each.
Result<std::string> head_text(const Dataset& dataset, uint64_t count, uint64_t values_max);

}  // namespace ballast
