// EvalLoader: the test set in stored order (order `none`), cut into one slice a lane, so that who
// owns the lanes does not change what is evaluated. Gathers in the caller's thread. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/data/batch.h"

namespace ballast {

class MemoryTable;

// The rows of the test set that a lane evaluates: [first, last).
struct EvalSlice {
  uint64_t first = 0;
  uint64_t last = 0;

  [[nodiscard]] uint64_t rows() const { return last - first; }
  bool operator==(const EvalSlice&) const = default;
};
// [rows * lane / lanes, rows * (lane + 1) / lanes).
[[nodiscard]] EvalSlice eval_slice(uint64_t rows, LaneId lane, uint32_t lanes);

class EvalLoader {
 public:
  // Opens and verifies `folder` (data.test, or what `ballast-tool evaluate` is given) with the
  // columns and transforms of the job. No batch has more than `batch_rows_max` rows. Errors: those
  // of BatchLoader::open but the memory budget, which BatchLoader keeps for both.
  static Result<std::unique_ptr<EvalLoader>> open(const JobConfig& config,
                                                  const std::string& folder, uint32_t lanes,
                                                  uint32_t batch_rows_max);
  ~EvalLoader();

  [[nodiscard]] uint64_t rows() const;
  [[nodiscard]] uint32_t width() const;
  [[nodiscard]] uint32_t label_width() const;
  // How many batches the lane's slice has; 0 when it is empty.
  [[nodiscard]] uint64_t batches(LaneId lane) const;
  // Batch `index` of the lane, index < batches(lane). Its memory is the next one's, once it goes.
  [[nodiscard]] Batch take(LaneId lane, uint64_t index);

 private:
  EvalLoader(std::unique_ptr<const MemoryTable> table, uint32_t lanes, uint32_t batch_rows_max);

  std::unique_ptr<const MemoryTable> table_;
  uint32_t lanes_;
  uint32_t batch_rows_max_;
  BufferPool pool_;
};

}  // namespace ballast
