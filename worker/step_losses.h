// RowLosses: the losses of a pass, row by row: computed on the device, summed on the host in row
// order, in double. So the sums are the same on every device that has the same row losses, and a
// bad row can be named. Owner thread: the computing thread.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/compute/backend.h"
#include "common/config/job_config.h"
#include "worker/step_rows.h"
#include "worker/step_streams.h"
#include "worker/train_step.h"

namespace ballast {

// kDiverged. `what`: "bad loss: that of row 5".
[[nodiscard]] Status not_finite(std::string what);

class RowLosses {
 public:
  // `streams` outlives it.
  RowLosses(StepStreams& streams, LossKind kind, uint32_t label_width, uint32_t rows_max);
  // kExhausted: no memory on the device.
  [[nodiscard]] Status allocate();

  // Puts the losses of the outputs on the compute stream; `dz`: their derivative, or empty.
  void put(ConstMatrix outputs, const DeviceRows& rows, Matrix dz);
  // Puts those of so many rows on their way to the host.
  void start(uint32_t rows);
  // Waits for them. Errors: kDiverged: a row that weighs something has a loss that is not finite.
  [[nodiscard]] Result<StepResult> read(const StepRows& batch, const StepHooks& hooks);

 private:
  StepStreams& streams_;
  const LossKind kind_;
  const uint32_t label_width_;
  const uint32_t rows_max_;
  DeviceBuffer memory_;  // [2, rows]: losses, then what is right, of the rows of this pass
  Buffer host_;          // likewise
  EventId computed_;
  EventId here_;
};

}  // namespace ballast
