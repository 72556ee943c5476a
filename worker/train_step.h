// TrainStep: the story of one computation: batch -> forward -> loss -> backward -> gradients. It
// holds the model, its weights and all memory of a step; after create() and a first step nothing is
// allocated, but that a device keeps graphs of the second step of a shape. Owner thread: the
// computing thread.
//
// One lane is one run() over exactly the lane's rows: whoever owns the lane gets the same bits.
// A worker with several lanes runs them one after another and sums tree nodes with add().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/stored_features.h"
#include "common/compute/backend.h"
#include "common/config/job_config.h"
#include "common/placement/parameters.h"

namespace ballast {

class LocalOptimizer;
class Model;
struct DeviceTracks;

// What dropout may depend on (seed, batch, lane), which step a trace says, and which batch of a sum
// this is: the first one begins it, the last one ends it and brings it to the host. Or the batch is
// a local step (local_optimizer.h).
struct StepContext {
  uint64_t seed = 0;
  Clock batch = 0;  // its number (LaneSchedule::first_batch)
  LaneId lane{};
  bool first = true;
  bool last = true;
  Clock clock = 0;                     // the step
  std::optional<double> local_rate{};  // of a local step: its learning rate
};

// Called on the computing thread. `layer` is the index of [[layer]]; layers without parameters are
// passed over. Each may be empty. A status that is not ok ends the step and is returned.
struct StepHooks {
  // Forward is about to use the layer's weights: returns when they have been given.
  std::function<Status(uint32_t layer)> weights_needed;
  // All of the pass is put on the device, which works on it: the time to prefetch() and to stage().
  std::function<Status()> pass_launched;
  // The layer's gradients are final, checked, and will not be touched again. Of local steps
  // the layer's delta is, in LocalOptimizer::finish().
  std::function<Status(uint32_t layer)> gradient_final;
  // What an error calls this row of the batch. Empty: "row 5".
  std::function<std::string(uint32_t row)> row_name;
};

// One buffer per parameter, in the order of parameters_of(), of element_count() floats.
struct GradientSet {
  std::vector<Buffer> parameters;
};

// into += other, element by element: the left half of a tree node takes in the right half.
void add(GradientSet& into, const GradientSet& other);

// Sums over rows, each times the row's weight.
struct StepResult {
  double loss_sum = 0;
  double weight_sum = 0;    // of the rows
  double correct = 0;       // labels predicted right; 0 for mean squared error
  double label_weight = 0;  // labels that could be right: accuracy = correct / label_weight
};

// Rows of a data set. features[rows, input_width], or, where that is empty, stored_features, as
// create() was told; labels[rows, label_width]; weights[rows], finite and >= 0, or empty: every row
// weighs 1.
struct StepRows {
  std::span<const float> features;
  std::span<const float> labels;
  std::span<const float> weights;
  uint32_t rows = 0;
  std::span<const std::byte> stored_features = {};
};

// What `rows` rows weigh together, in their order; `weights` as in StepRows.
[[nodiscard]] double weight_of(std::span<const float> weights, size_t rows);

class TrainStep {
 public:
  // Checks the model (check_model) and takes all memory for up to `rows_max` rows; `sums_batches`:
  // also for sums of more than one batch; `stored`: rows may come with features as they are stored,
  // of which the device makes floats. `backend` outlives the step. kInvalidInput: the model does
  // not fit. kExhausted: not enough memory.
  [[nodiscard]] static Result<std::unique_ptr<TrainStep>> create(
      const ModelConfig& model, uint32_t input_width, uint32_t label_width, uint32_t rows_max,
      Backend& backend, bool sums_batches = false, const StoredFeatures* stored = nullptr);
  ~TrainStep();

  [[nodiscard]] const std::vector<ParameterSpec>& parameters() const;
  [[nodiscard]] uint32_t input_width() const;
  [[nodiscard]] uint32_t label_width() const;
  [[nodiscard]] uint32_t output_width() const;

  // Weights that were pulled, for the parameter's elements from `first` on; they are on their way
  // to the device when it returns. Between two passes, or inside weights_needed for that layer.
  void take_weights(uint32_t parameter, size_t first, std::span<const std::byte> values);
  // What take_weights() does, in two parts, for weights that come while a step is computed that is
  // not to see them: stage() copies them, inside pass_launched; send_staged() puts all of them on
  // their way, between two passes. can_stage(): the device computes, nothing of what it computed
  // waits, and the parameter's last weights have left the host; never on host memory.
  [[nodiscard]] bool can_stage(uint32_t parameter);
  void stage(uint32_t parameter, size_t first, std::span<const std::byte> values);
  void send_staged();
  // Host memory of a parameter's weights, for reading, or for writing when take_weights() may be
  // called: all of it goes to the device with the next pass.
  [[nodiscard]] std::span<float> weights(uint32_t parameter);

  // Host memory that gradients and batches travel fast from and to. Any thread.
  [[nodiscard]] Buffer allocate_host(size_t bytes);

  // What makes local steps and ends them. Takes no memory but by its allocate().
  [[nodiscard]] LocalOptimizer& local();

  // The rows that run() is likely to be asked for next travel to the device while the pass before
  // them is computed. A guess: where others come, those are taken. They stay as they are until the
  // next run(), evaluate() or predict() is done, which forgets them, or settle(). False: they are
  // not lent, because the device computes on host memory.
  bool prefetch(const StepRows& batch);
  // Nothing is under way when it returns, and no rows are prefetched: memory that was lent may go.
  void settle();

  // From now on run() tells when the device did its parts. `device` outlives the step.
  void trace(DeviceTracks& device);

  // Forward, loss and backward over 1 <= rows <= rows_max. The batch and the weights of the host
  // are not read any more when it returns. Writes every gradient into the buffers of `out` and
  // touches them no more once gradient_final has been called for their layer; sums
  // over rows, each times its weight, not means. The sum may go on over several batches with the
  // same `out`: (((first) + second) + ...) + last; the hook of gradients is called in the last one.
  // A local step leaves its gradients on the device, checked, and changes the weights there; what
  // `out` holds then is nothing to use.
  // kInvalidInput: a label is out of range. kDiverged: the loss or a gradient is NaN or infinite;
  // names the row or the parameter. The caller adds worker, step and lane.
  [[nodiscard]] Result<StepResult> run(const StepRows& batch, const StepContext& context,
                                       GradientSet& out, const StepHooks& hooks = {});

  // Forward and loss only, without dropout. `outputs`[rows, output_width], or empty: the raw
  // outputs, which is what AUC ranks. Every weight must be there.
  [[nodiscard]] Result<StepResult> evaluate(const StepRows& batch, std::span<float> outputs = {});

  // predictions[rows, output_width]: class probabilities, probabilities, or values, as the loss is.
  [[nodiscard]] Status predict(std::span<const float> features, uint32_t rows,
                               std::span<float> predictions);

 private:
  struct Parts;
  explicit TrainStep(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ballast
