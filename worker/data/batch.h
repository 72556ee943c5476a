// Batch: the rows of one computation, ready for the first layer. A move-only value: the arrays lie
// in one pooled buffer that goes back when the batch is dropped. Owner thread: whoever holds it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"

namespace ballast {

class Dataset;

struct Batch {
  Batch() = default;
  Batch(Batch&&) = default;
  Batch& operator=(Batch&&) = default;

  uint32_t rows = 0;
  uint32_t width = 0;        // features of a row, after transforms
  uint32_t label_width = 0;  // values of a label, after transforms
  // [rows, width], row-major; start at a multiple of 64 bytes. One of the two is empty: features
  // are floats, or of the type that RowPlan::stored says.
  std::span<const float> features;
  std::span<const std::byte> stored_features;
  std::span<const float> labels;      // [rows, label_width]; starts at a multiple of 64 bytes
  std::span<const float> weights;     // [rows]: >= 0; starts at a multiple of 64 bytes
  std::span<const uint64_t> row_ids;  // [rows]: the row of the data set each one is

  Clock number = 0;                   // among the job's batches; of an evaluation, in its slice
  std::vector<LaneId> lanes;          // whose rows these are, one lane after another
  std::vector<uint64_t> rows_hashes;  // batch_hash() of each lane's rows; none in an evaluation

  // "data/train/00ab...blc, block 3, row 17" of row i; "row 17" when there is no data set behind
  // it.
  [[nodiscard]] std::string row_name(uint32_t i) const;

  Buffer memory;
  std::shared_ptr<const Dataset> dataset;  // shared: a batch may outlive the loader that made it
};

}  // namespace ballast
