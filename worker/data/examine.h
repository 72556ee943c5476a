// What people ask of a data set: is it whole, what is in it, how are its values spread. Reads block
// by block in bounded memory. Pure but for reading.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace ballast {

// Reads every byte and compares every hash. One status for each thing that is wrong, in the order
// of the data; empty: all is well.
[[nodiscard]] std::vector<Status> verify_dataset(const std::string& folder,
                                                 const Access& access = {});
// The same for one chunk.
[[nodiscard]] std::vector<Status> verify_chunk(const Dataset& dataset, uint32_t chunk);

// Every chunk is there, of the size the manifest says, with its head and its footer whole; what
// lies between is not read. One status for each chunk that is not, in the order of the data.
[[nodiscard]] std::vector<Status> verify_chunks(const Dataset& dataset);

// How often each label occurs, from the footers alone; empty when there is no integer label. Blocks
// with more different labels than a footer counts are left out.
Result<std::vector<LabelCount>> count_labels(const Dataset& dataset);
// The same for each block of the data set. Many footers at a time where they come over a network.
Result<std::vector<std::vector<LabelCount>>> count_block_labels(const Dataset& dataset);

// How the chunks keep a column, from the footers alone.
struct StoredColumn {
  uint64_t rows = 0;  // of the chunks that have it; the others have its default
  uint64_t stored_bytes = 0;
  uint64_t raw_bytes = 0;  // decoded
  std::set<Codec> codecs;
};
Result<std::vector<StoredColumn>> measure_storage(const Dataset& dataset);

struct ValueStatistics {
  uint64_t nonfinite = 0;  // values left out of all below
  double min = 0;
  double max = 0;
  double mean = 0;
  double std = 0;
};
struct ColumnStatistics {
  ColumnSpec spec;
  ValueStatistics all;                // over all values of all rows
  std::vector<ValueStatistics> each;  // one for each value of a row, or of a list's items
};
Result<std::vector<ColumnStatistics>> measure_columns(const Dataset& dataset);

// Up to so many values of a row people read one by one: unlike columns of a table that were joined.
// More are the pixels of a picture, which are of one kind.
inline constexpr uint64_t kPerValueMax = 64;

// A table as TOML comments, one line a column and, when `per_value`, one for each value of a row;
// then the `data.transform` lines that standardize the columns but the label: one mean and std, or
// one for each value; none for lists. A std of 0 is written as 1. Nothing given: per value up to
// kPerValueMax; of a wider column the table says that it is taken as a whole, and how to get the
// other.
[[nodiscard]] std::string statistics_text(const std::vector<ColumnStatistics>& columns,
                                          const std::string& label, std::optional<bool> per_value);

// The first `count` rows, one line a column, at most `values_max` values of each.
Result<std::string> head_text(const Dataset& dataset, uint64_t count, uint64_t values_max);

}  // namespace ballast
