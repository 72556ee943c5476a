// BatchLoader: the training rows of a worker, lane by lane and batch by batch, shuffled, verified,
// transformed and ready when they are asked for.
//
// Order full and none: the columns a job uses are read into memory once, in their stored types, and
// verified (XXH3 of every buffer, finite floats). Order strip: blocks are read and verified as they
// are needed (stream_rows.h). Loader threads (data.threads) gather the batches that the worker
// will ask for next into pooled buffers. Which rows a batch has is LaneSchedule x SampleOrder; the
// threads, the prefetching and take()'s call order never change it.
//
// Any thread may call follow and take. Threads block on condition variables and end with
// the loader; there are no files, locks or names outside the process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/stored_features.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "worker/data/batch.h"
#include "worker/data/memory_budget.h"
#include "worker/data/row_source.h"

namespace ballast {

struct LoaderCounters {
  uint64_t batches_ready = 0;   // take() found the batch prepared
  uint64_t batches_waited = 0;  // a loader thread was at it; take() made others, then waited
  uint64_t batches_missed = 0;  // not begun; take() gathered by itself
  uint64_t rows = 0;            // padding too
  uint64_t samples = 0;         // no padding; counted where rows may weigh something else than 1
  uint64_t left_out = 0;        // samples that weigh 0: by a filter, or by data.weight
  // How well rows are mixed: the different blocks that the batch of one lane comes from, of whole
  // batches as they are made; where rows are in memory of one batch in 16.
  uint64_t blocks = 0;          // added up
  uint64_t blocks_batches = 0;  // counted
  uint64_t blocks_min = 0;      // the fewest; 0: none counted
  BlockReads reads;
};

// Puts another source in front of the rows that a job opens by itself; what it holds for that is
// given beside it, since it counts.
using WrapRows = std::function<std::unique_ptr<RowSource>(std::unique_ptr<RowSource>)>;

class BatchLoader {
 public:
  // Opens data.train, and reads and verifies it unless it is streamed. `config` is resolved,
  // data.order not auto; `schedule`, of the job's steps, must have been made for its rows. Errors:
  // everything measure_shapes refuses; the memory budget with its sum; of rows in memory those of
  // take(). `make_batch`: of memory that the device copies fast from; as BufferPool takes it.
  static Result<std::unique_ptr<BatchLoader>> open(const JobConfig& config,
                                                   const LaneSchedule& schedule,
                                                   const WrapRows& wrap = nullptr,
                                                   const PortionMemory& portions = {},
                                                   MakeBuffer make_batch = nullptr);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // A hint: these lanes are ours, and `from` is the next batch each of them does. Lanes already
  // followed and not named keep their places. Lanes that went to another worker are noticed by
  // falling behind.
  void follow(std::span<const LaneId> lanes, Clock from);

  // The rows of these lanes in batch `number` (LaneSchedule::first_batch), one lane after another
  // in the order given. What is prepared: sync, each followed lane by itself, all batches of a
  // step; async and ssp, the followed lanes at the lowest batch together, ascending; anything else
  // is gathered on the spot. Blocks until they are there. A lane that is absent from the batch adds
  // no rows. Also a hint that the lanes go on at number + 1. Errors of streamed rows: kDataLoss: a
  // damaged chunk; kInvalidInput: NaN, Inf or values that a transform does not take, with chunk,
  // block, row and column; kNotFound, kUnavailable: the chunk cannot be read.
  Result<Batch> take(std::span<const LaneId> lanes, Clock number);

  // The batch that take() is likely to be asked for next, if it is prepared; null: not yet. For the
  // thread that takes. Its arrays stay while the pointer is held; take() moves them into the batch
  // that it gives, and from then on that keeps them.
  [[nodiscard]] std::shared_ptr<const Batch> next_ready() const;

  [[nodiscard]] uint32_t width() const;
  [[nodiscard]] uint32_t label_width() const;
  // How floats are made of Batch::stored_features; null: batches have floats.
  [[nodiscard]] std::shared_ptr<const StoredFeatures> stored() const;
  [[nodiscard]] LoaderMemory memory() const;
  [[nodiscard]] LoaderCounters counters() const;

 private:
  struct Core;
  explicit BatchLoader(std::unique_ptr<Core> core);

  std::unique_ptr<Core> core_;
};

}  // namespace ballast
