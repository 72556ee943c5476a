#include "worker/train_step.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "common/base/check.h"
#include "worker/device_trace.h"
#include "worker/local_optimizer.h"
#include "worker/model/model.h"
#include "worker/model/model_check.h"
#include "worker/step_gradients.h"
#include "worker/step_graphs.h"
#include "worker/step_losses.h"
#include "worker/step_rows.h"
#include "worker/step_streams.h"
#include "worker/step_weights.h"

namespace ballast {

// A step's parts, and its scenes.
struct TrainStep::Parts {
  Parts(const ModelConfig& model_config, uint32_t input_width, uint32_t label_width_in,
        uint32_t rows_max_in, Backend& backend_in)
      : config(model_config),
        label_width(label_width_in),
        rows_max(rows_max_in),
        backend(backend_in),
        streams(backend_in),
        rows(streams, input_width, label_width_in, rows_max_in),
        losses(streams, model_config.loss, label_width_in, rows_max_in),
        graphs(backend_in, streams.compute, model_config, input_width) {}

  // One run(), and what came of it so far.
  struct Run {
    const StepRows& batch;
    const StepContext& context;
    GradientSet& out;
    const StepHooks& hooks;
    const Pass pass;
    std::optional<StepResult> losses;  // once they are here and checked

    // Whether its gradients go to the host.
    [[nodiscard]] bool leaves() const { return context.last && !context.local_rate; }
  };

  Status allocate(bool sums_batches, const StoredFeatures* stored);
  Status put_weights(uint32_t layer, const StepHooks& hooks);
  Status put_all_weights(const StepHooks& hooks);
  Result<ConstMatrix> forward(ConstMatrix x, const Pass& pass, const StepHooks& hooks);
  Result<StepResult> run(const StepRows& batch, const StepContext& context, GradientSet& out,
                         const StepHooks& hooks);
  Result<StepResult> evaluate(const StepRows& batch, std::span<float> outputs);
  Status predict(std::span<const float> features, uint32_t count, std::span<float> predictions);
  template <typename Outcome>
  Outcome settled(Outcome outcome);
  [[nodiscard]] Matrix last_dy(uint32_t count) const;
  Status put_one_by_one(const DeviceRows& device_rows, Run& run, const StepHooks& hooks);
  bool keep_graphs(const DeviceRows& device_rows, Run& run, const StepShape& shape);
  void put_graphs(Run& run, const StepShape& shape);
  void put_local_step(Run& run);
  void end_pass();
  [[nodiscard]] bool device_is_busy();
  void settle();
  template <typename LayerPut>
  Status backward(Run& run, const LayerPut& layer_put);
  Status check_losses(Run& run);
  Status finish_ready(Run& run, bool wait_for_all);

  const ModelConfig config;
  const uint32_t label_width;
  const uint32_t rows_max;
  Backend& backend;  // outlives the step
  StepStreams streams;
  RowUploads rows;
  RowLosses losses;
  StepGraphs graphs;
  std::unique_ptr<Model> model;
  std::optional<StepWeights> weights;
  std::optional<StepGradients> gradients;
  std::optional<LocalOptimizer> local;
  uint32_t first_trained = 0;  // nobody needs the derivative below this layer
  DeviceBuffer dy[2];          // [rows_max, widest layer]: backward goes from one to the other
  EventId outputs_computed;
};

Status TrainStep::Parts::allocate(bool sums_batches, const StoredFeatures* stored) {
  while (model->parameters_of_layer(first_trained).empty()) ++first_trained;
  BALLAST_RETURN_IF_ERROR(rows.allocate(stored));
  BALLAST_RETURN_IF_ERROR(losses.allocate());
  weights.emplace(streams, *model);
  gradients.emplace(streams, *model, sums_batches);
  BALLAST_RETURN_IF_ERROR(gradients->allocate());
  local.emplace(streams, *model, *gradients);
  uint32_t widest = model->output_width();
  for (uint32_t l = 0; l < model->layer_count(); ++l) {
    widest = std::max(widest, model->input_width(l));
  }
  for (DeviceBuffer& memory : dy) {
    BALLAST_ASSIGN(memory, backend.allocate(size_t{rows_max} * widest));
  }
  outputs_computed = backend.create_event();
  return Status();
}

// ---------------------------------------------------------------- forward

Status TrainStep::Parts::put_weights(uint32_t layer, const StepHooks& hooks) {
  if (model->parameters_of_layer(layer).empty()) return Status();
  if (hooks.weights_needed) BALLAST_RETURN_IF_ERROR(hooks.weights_needed(layer));
  BALLAST_CHECK_MSG(!local->under_way() || !model->is_stale(layer), "weights among local steps");
  weights->put(layer);
  return Status();
}

Status TrainStep::Parts::put_all_weights(const StepHooks& hooks) {
  for (uint32_t layer = 0; layer < model->layer_count(); ++layer) {
    BALLAST_RETURN_IF_ERROR(put_weights(layer, hooks));
  }
  return Status();
}

Result<ConstMatrix> TrainStep::Parts::forward(ConstMatrix x, const Pass& pass,
                                              const StepHooks& hooks) {
  for (uint32_t layer = 0; layer < model->layer_count(); ++layer) {
    BALLAST_RETURN_IF_ERROR(put_weights(layer, hooks));
    const DeviceTrace::Part part(streams.trace.get(), streams.compute, "forward", layer);
    x = model->forward(layer, pass, x);
  }
  return x;
}

// ---------------------------------------------------------------- backward

Matrix TrainStep::Parts::last_dy(uint32_t count) const {
  return dy[0].matrix(count, model->output_width());
}

// layer_put(layer): its gradients were put on the compute stream.
template <typename LayerPut>
Status TrainStep::Parts::backward(Run& run, const LayerPut& layer_put) {
  Matrix layer_dy = last_dy(run.pass.rows);
  uint32_t spare = 1;
  for (uint32_t layer = model->layer_count(); layer-- > first_trained;) {
    if (!model->parameters_of_layer(layer).empty()) {
      gradients->put(layer, run.pass, layer_dy, run.context.first, run.context.last, run.out);
      BALLAST_RETURN_IF_ERROR(layer_put(layer));
    }
    if (layer == first_trained) break;
    const Matrix dx = dy[spare].matrix(run.pass.rows, model->input_width(layer));
    const DeviceTrace::Part part(streams.trace.get(), streams.compute, "backward input", layer);
    model->input_gradient(layer, run.pass, layer_dy, dx);
    layer_dy = dx;
    spare = 1 - spare;
  }
  return Status();
}

// The device computes gradients before anybody has seen the losses: no gradient is handed over
// before them.
Status TrainStep::Parts::check_losses(Run& run) {
  if (run.losses) return Status();
  BALLAST_ASSIGN(run.losses, losses.read(run.batch, run.hooks));
  return Status();
}

// Hands over what has arrived, oldest first; on a device of its own that is a layer or two behind.
Status TrainStep::Parts::finish_ready(Run& run, bool wait_for_all) {
  while (gradients->any_left()) {
    if (!wait_for_all && !gradients->next_arrived()) break;
    BALLAST_RETURN_IF_ERROR(check_losses(run));
    BALLAST_RETURN_IF_ERROR(gradients->check_next());
    const uint32_t layer = gradients->finish_next();
    if (!run.hooks.gradient_final || run.context.local_rate) continue;
    BALLAST_RETURN_IF_ERROR(run.hooks.gradient_final(layer));
  }
  return Status();
}

Result<std::unique_ptr<TrainStep>> TrainStep::create(const ModelConfig& model, uint32_t input_width,
                                                     uint32_t label_width, uint32_t rows_max,
                                                     Backend& backend, bool sums_batches,
                                                     const StoredFeatures* stored) {
  BALLAST_CHECK(rows_max > 0);
  BALLAST_RETURN_IF_ERROR(check_model(model, input_width, label_width));
  auto parts = std::make_unique<Parts>(model, input_width, label_width, rows_max, backend);
  BALLAST_ASSIGN(parts->model, Model::create(model, input_width, rows_max, backend));
  BALLAST_RETURN_IF_ERROR(parts->allocate(sums_batches, stored));
  return std::unique_ptr<TrainStep>(new TrainStep(std::move(parts)));
}

TrainStep::TrainStep(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TrainStep::~TrainStep() {
  settle();
}

const std::vector<ParameterSpec>& TrainStep::parameters() const {
  return parts_->model->parameters();
}
uint32_t TrainStep::input_width() const {
  return parts_->model->input_width(0);
}
uint32_t TrainStep::label_width() const {
  return parts_->label_width;
}
uint32_t TrainStep::output_width() const {
  return parts_->model->output_width();
}
std::span<float> TrainStep::weights(uint32_t parameter) {
  return parts_->model->host_weights(parameter);
}

void TrainStep::take_weights(uint32_t parameter, size_t first, std::span<const std::byte> values) {
  BALLAST_CHECK_MSG(!parts_->local->under_way(), "weights among local steps");
  parts_->weights->take(parameter, first, values);
}

bool TrainStep::can_stage(uint32_t parameter) {
  return parts_->device_is_busy() && parts_->weights->can_stage(parameter);
}

void TrainStep::stage(uint32_t parameter, size_t first, std::span<const std::byte> values) {
  parts_->weights->stage(parameter, first, values);
}

void TrainStep::send_staged() {
  BALLAST_CHECK_MSG(!parts_->local->under_way(), "weights among local steps");
  parts_->weights->send_staged();
}

bool TrainStep::prefetch(const StepRows& batch) {
  return parts_->rows.prefetch(batch);
}

void TrainStep::settle() {
  parts_->settle();
}

LocalOptimizer& TrainStep::local() {
  return *parts_->local;
}

Buffer TrainStep::allocate_host(size_t bytes) {
  return parts_->backend.allocate_host(bytes);
}

void TrainStep::trace(DeviceTracks& device) {
  parts_->streams.trace_to(device);
}

Result<StepResult> TrainStep::run(const StepRows& batch, const StepContext& context,
                                  GradientSet& out, const StepHooks& hooks) {
  BALLAST_CHECK(out.parameters.size() == parameters().size());
  BALLAST_CHECK((context.first && context.last) || parts_->gradients->sums_batches());
  BALLAST_CHECK((context.first && context.last) || !context.local_rate);
  BALLAST_CHECK_MSG(context.local_rate || !parts_->local->under_way(), "a step among local steps");
  return parts_->settled(parts_->run(batch, context, out, hooks));
}

Result<StepResult> TrainStep::evaluate(const StepRows& batch, std::span<float> outputs) {
  return parts_->settled(parts_->evaluate(batch, outputs));
}

Status TrainStep::predict(std::span<const float> features, uint32_t rows,
                          std::span<float> predictions) {
  return parts_->settled(parts_->predict(features, rows, predictions));
}

// After a failure nothing is under way any more: it would read and write buffers that the caller
// takes back. The first failure is the one to report.
template <typename Outcome>
Outcome TrainStep::Parts::settled(Outcome outcome) {
  if (!outcome.ok()) settle();
  return outcome;
}

// The losses are here when it ends, so the rows and weights on the host have been read. The
// gradients too, unless the sum goes on, or their checks, in a local step: then the device may
// still work.
Result<StepResult> TrainStep::Parts::run(const StepRows& batch, const StepContext& context,
                                         GradientSet& out, const StepHooks& hooks) {
  BALLAST_RETURN_IF_ERROR(
      check_labels(config.loss, model->output_width(), batch.labels, batch.rows));
  const DeviceTrace::Pass traced(streams.trace.get(), context.clock, context.lane);
  Run run{batch,
          context,
          out,
          hooks,
          {streams.compute, batch.rows, true, context.seed, context.batch, context.lane},
          std::nullopt};
  const DeviceRows device_rows = rows.take(batch, true);
  gradients->begin_pass();
  const StepShape shape{batch.rows, !batch.weights.empty(), context.first, context.last,
                        rows.place()};
  // A trace tells layer by layer.
  const StepGraphs::Way way = traced.is_told() ? StepGraphs::Way::kOneByOne : graphs.way(shape);
  if (way == StepGraphs::Way::kOneByOne) {
    BALLAST_RETURN_IF_ERROR(put_one_by_one(device_rows, run, hooks));
  } else {
    BALLAST_RETURN_IF_ERROR(put_all_weights(hooks));
    if (way == StepGraphs::Way::kLaunch || keep_graphs(device_rows, run, shape)) {
      put_graphs(run, shape);
    } else {
      BALLAST_RETURN_IF_ERROR(put_one_by_one(device_rows, run, {}));
    }
  }
  if (context.local_rate) put_local_step(run);
  end_pass();
  if (hooks.pass_launched) BALLAST_RETURN_IF_ERROR(hooks.pass_launched());
  BALLAST_RETURN_IF_ERROR(finish_ready(run, true));
  BALLAST_RETURN_IF_ERROR(check_losses(run));
  if (way == StepGraphs::Way::kOneByOne) graphs.went_well(shape);
  return *run.losses;
}

// Layer by layer, gradients leaving as they come. `hooks`: whom to ask for weights.
Status TrainStep::Parts::put_one_by_one(const DeviceRows& device_rows, Run& run,
                                        const StepHooks& hooks) {
  BALLAST_ASSIGN(const ConstMatrix outputs, forward(device_rows.features, run.pass, hooks));
  losses.put(outputs, device_rows, last_dy(run.pass.rows));
  losses.start(run.pass.rows);
  return backward(run, [&](uint32_t layer) {
    if (run.leaves()) gradients->start(layer, run.out);
    return finish_ready(run, false);
  });
}

// All weights were put on their way.
bool TrainStep::Parts::keep_graphs(const DeviceRows& device_rows, Run& run,
                                   const StepShape& shape) {
  return graphs.keep(
      shape,
      [&] {
        const Result<ConstMatrix> outputs = forward(device_rows.features, run.pass, {});
        BALLAST_CHECK(outputs.ok());
        losses.put(*outputs, device_rows, last_dy(run.pass.rows));
      },
      [&] { BALLAST_CHECK(backward(run, [](uint32_t) { return Status(); }).ok()); });
}

// Gradients leave when all of them are there.
void TrainStep::Parts::put_graphs(Run& run, const StepShape& shape) {
  graphs.launch_forward(shape);
  losses.start(run.pass.rows);
  graphs.launch_backward(shape);
  if (run.leaves()) gradients->start_all(run.out);
}

// The checks leave before the weights change, and are here before the next pass uses those. Not in
// a graph: an update's numbers are others each time.
void TrainStep::Parts::put_local_step(Run& run) {
  gradients->start_checks();
  local->put(run.batch, *run.context.local_rate);
}

void TrainStep::Parts::end_pass() {
  rows.end_pass();
  streams.end_pass();
}

// With the pass, while nothing that it has done waits here.
bool TrainStep::Parts::device_is_busy() {
  const bool gradients_wait = gradients->any_left() && gradients->next_arrived();
  return !gradients_wait && !backend.happened(streams.pass_computed);
}

// Rows that were prefetched may be gone when a pass comes that would take them.
void TrainStep::Parts::settle() {
  streams.settle();
  rows.forget_prefetched();
}

Result<StepResult> TrainStep::Parts::evaluate(const StepRows& batch, std::span<float> outputs) {
  BALLAST_CHECK_MSG(!local->under_way(), "an evaluation among local steps");
  BALLAST_RETURN_IF_ERROR(
      check_labels(config.loss, model->output_width(), batch.labels, batch.rows));
  const Pass pass{.stream = streams.compute, .rows = batch.rows};
  const DeviceRows device_rows = rows.take(batch, false);
  BALLAST_ASSIGN(const ConstMatrix z, forward(device_rows.features, pass, {}));
  losses.put(z, device_rows, Matrix());
  if (!outputs.empty()) {
    streams.let_downloads_follow(outputs_computed);
    backend.download(streams.downloads, z, outputs);
  }
  losses.start(batch.rows);
  end_pass();
  return losses.read(batch, {});
}

Status TrainStep::Parts::predict(std::span<const float> features, uint32_t count,
                                 std::span<float> predictions) {
  BALLAST_CHECK_MSG(!local->under_way(), "a prediction among local steps");
  const Pass pass{.stream = streams.compute, .rows = count};
  const DeviceRows device_rows = rows.take({features, {}, {}, count}, false);
  BALLAST_ASSIGN(const ConstMatrix z, forward(device_rows.features, pass, {}));
  const Matrix y = last_dy(count);
  backend.predict(streams.compute, config.loss, z, y);
  end_pass();
  streams.let_downloads_follow(outputs_computed);
  backend.download(streams.downloads, y, predictions);
  return backend.synchronize(streams.downloads);
}

}  // namespace ballast
