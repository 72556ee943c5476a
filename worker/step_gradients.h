// StepGradients: the gradients of a step, from the backward pass to the host. They are summed over
// batches and checked on the device, and leave layer by layer while the layers below are computed,
// or all together; those of local steps stay there, and what weights changed by leaves in their
// place. Where the device computes on host memory it writes them where the caller wants them. Owner
// thread: the computing thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/compute/backend.h"
#include "worker/model/model.h"
#include "worker/step_streams.h"
#include "worker/train_step.h"

namespace ballast {

class StepGradients {
 public:
  // `streams` and `model` outlive it. `sums_batches`: also for sums of more than one batch.
  StepGradients(StepStreams& streams, Model& model, bool sums_batches);
  // kExhausted: no memory on the device.
  [[nodiscard]] Status allocate();

  [[nodiscard]] bool sums_batches() const { return sums_batches_; }
  void begin_pass();
  // Puts the backward pass of a layer's parameters on the compute stream, added to those of the
  // batches before unless `first`; `last`: and the check of the sum.
  void put(uint32_t layer, const Pass& pass, Matrix dy, bool first, bool last, GradientSet& out);
  // What put_one(parameter, sum) puts there takes the place of a layer's sums; and the check of it.
  using PutOne = std::function<void(uint32_t parameter, Matrix sum)>;
  void put_instead(uint32_t layer, GradientSet& out, const PutOne& put_one);
  // Puts the sums of a layer, or of all layers, on their way to `out`; or nothing but the checks.
  void start(uint32_t layer, GradientSet& out);
  void start_all(GradientSet& out);
  void start_checks();
  // Of the last pass, where it was put.
  [[nodiscard]] ConstMatrix sum(uint32_t parameter) const { return sums_[parameter]; }

  // The next layer whose gradients are on their way, in the order of put(), and whether they
  // arrived.
  [[nodiscard]] bool any_left() const { return finished_ < started_.size(); }
  [[nodiscard]] bool next_arrived();
  // Waits for them. kDiverged: one is not finite; names the parameter.
  [[nodiscard]] Status check_next();
  // Waits for them -> the first parameter with a value that is not finite, if any.
  [[nodiscard]] Result<std::optional<uint32_t>> bad_of_next();
  // Passes on to the layer after it -> the layer.
  uint32_t finish_next() { return started_[finished_++].layer; }

 private:
  struct Started {
    uint32_t layer = 0;
    EventId here;
  };

  [[nodiscard]] Matrix bad_flags(Model::Range range) const;
  [[nodiscard]] Matrix memory_of(uint32_t parameter, GradientSet& out) const;
  void download(uint32_t layer, GradientSet& out);
  void start_together(GradientSet* out);

  StepStreams& streams_;
  Model& model_;
  const bool sums_batches_;
  std::vector<DeviceBuffer> memory_;        // by parameter, unless the device writes host memory
  std::vector<DeviceBuffer> batch_memory_;  // by parameter: of one batch of a sum
  std::vector<Matrix> sums_;                // by parameter, of this step
  std::vector<Matrix> of_batch_;            // by parameter: where this batch's go
  DeviceBuffer found_bad_;                  // [parameters]: 1 where a gradient is not finite
  Buffer host_found_bad_;
  std::vector<EventId> computed_;  // by layer, and checked
  std::vector<EventId> here_;      // by layer: gradients and found_bad are on the host
  std::vector<Started> started_;
  size_t finished_ = 0;  // of started_
};

}  // namespace ballast
