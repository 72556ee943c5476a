#include "worker/train_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "common/base/check.h"
#include "common/optimizer/fold.h"
#include "worker/device_trace.h"
#include "worker/model/model.h"
#include "worker/model/model_check.h"
#include "worker/step_graphs.h"

namespace ballast {

void add(GradientSet& into, const GradientSet& other) {
  BALLAST_CHECK(into.parameters.size() == other.parameters.size());
  for (size_t p = 0; p < into.parameters.size(); ++p) {
    add_into(into.parameters[p].floats(), other.parameters[p].floats());
  }
}

// The rows of a pass on the device. Two passes have memory of their own, so that the rows of the
// next arrive while the last is computed.
struct RowsMemory {
  DeviceBuffer features;     // [rows_max, input], unless the device reads host memory
  DeviceBuffer labels;       // [rows_max, label_width], likewise
  DeviceBuffer row_weights;  // [rows_max], likewise
  EventId arrived;
};

// Views of them.
struct DeviceRows {
  ConstMatrix features;
  ConstMatrix labels;
  ConstMatrix row_weights;  // a matrix of one row: [1, rows]; or empty
};

// One run(), and what came of it so far.
struct Run {
  const StepRows& rows;
  const StepContext& context;
  GradientSet& out;
  const StepHooks& hooks;
  std::optional<StepResult> losses;  // once they are here and checked
};

// Everything a step holds, and its scenes. Host and device sides of inputs and gradients are the
// same memory where the device computes on host memory. Elsewhere three streams work beside one
// another, in this order by events: rows and weights arrive, are computed with, and what came of it
// leaves; weights of a layer while the one before it is computed, gradients of a layer while the
// one below it is.
struct TrainStep::Parts {
  Parts(const ModelConfig& model_config, uint32_t label_width_in, uint32_t rows_max_in,
        bool sums_batches_in, Backend& backend_in)
      : config(model_config),
        label_width(label_width_in),
        rows_max(rows_max_in),
        sums_batches(sums_batches_in),
        backend(backend_in),
        compute(backend_in.create_stream()),
        uploads(backend_in.create_stream()),
        downloads(backend_in.create_stream()) {}

  Status allocate(uint32_t input_width);
  ConstMatrix on_device(std::span<const float> host, uint32_t rows, uint32_t columns,
                        DeviceBuffer& memory);
  DeviceRows take_rows(const StepRows& batch, bool training);
  void put_weights(uint32_t layer);
  Result<ConstMatrix> forward(ConstMatrix x, const Pass& pass, const StepHooks& hooks);
  void let_downloads_follow(EventId computed);
  void put_losses(ConstMatrix outputs, const DeviceRows& rows, Matrix dz);
  void start_losses(uint32_t rows);
  Result<StepResult> read_losses(const StepRows& batch, const StepHooks& hooks);
  Result<StepResult> run(const StepRows& batch, const StepContext& context, GradientSet& out,
                         const StepHooks& hooks);
  Result<StepResult> evaluate(const StepRows& batch, std::span<float> outputs);
  Status predict(std::span<const float> rows_features, uint32_t rows, std::span<float> predictions);
  template <typename Outcome>
  Outcome settled(Outcome outcome);
  Status put_one_by_one(const Pass& pass, const DeviceRows& rows, Run& run);
  Status put_as_graph(const Pass& pass, const DeviceRows& rows, Run& run, const StepShape& shape);
  bool keep_graph(const Pass& pass, const DeviceRows& rows, Run& run, const StepShape& shape);
  template <typename LayerComputed>
  Status backward(const Pass& pass, Matrix dy, Run& run, const LayerComputed& layer_computed);
  void compute_gradients(uint32_t layer, const Pass& pass, Matrix dy, Run& run);
  void start_download(uint32_t layer, Run& run);
  Status check_losses(Run& run);
  Status finish_gradients(uint32_t layer, Run& run);
  Status finish_ready(Run& run, bool wait_for_all);

  const ModelConfig config;
  const uint32_t label_width;
  const uint32_t rows_max;
  const bool sums_batches;
  Backend& backend;  // outlives the step
  const StreamId compute;
  const StreamId uploads;
  const StreamId downloads;
  bool copies = false;         // the device has memory of its own
  uint32_t first_trained = 0;  // nobody needs the derivative below this layer
  std::optional<StepGraphs> graphs;
  std::unique_ptr<Model> model;
  std::unique_ptr<DeviceTrace> trace;  // null: nobody wants to know

  RowsMemory rows_memory[2];
  uint32_t pass_count = 0;   // the rows of this pass are in rows_memory[pass_count % 2]
  DeviceBuffer row_loss;     // [rows_max]
  DeviceBuffer row_correct;  // [rows_max]
  DeviceBuffer dy[2];        // [rows_max, widest layer]: backward goes from one to the other
  Buffer host_row_loss;
  Buffer host_row_correct;
  EventId outputs_computed;
  EventId losses_computed;
  EventId losses_here;    // row_loss and row_correct are on the host
  EventId pass_computed;  // the last one: its weights may be written over

  std::vector<DeviceBuffer> gradient_memory;  // by parameter, unless the device writes host memory
  std::vector<DeviceBuffer> batch_memory;     // by parameter: of one batch of a sum
  std::vector<Matrix> gradients;              // by parameter, of this step
  std::vector<Matrix> batch_gradients;        // by parameter: where this batch's gradients go
  DeviceBuffer found_bad;                     // [parameters]: 1 where a gradient is not finite
  Buffer host_found_bad;
  std::vector<EventId> weights_arrived;     // by layer
  std::vector<EventId> gradients_computed;  // by layer, and checked
  std::vector<EventId> gradients_here;      // by layer: gradients and found_bad are on the host
  std::vector<uint32_t> started;  // layers whose gradients were put on streams, in that order
  size_t finished = 0;            // of these, how many were handed over
};

namespace {

Matrix at(const DeviceBuffer& memory, uint32_t index) {
  return {memory.matrix(1, index + 1).device_data + index, 1, 1};
}

Status not_finite(std::string what) {
  return Status(Code::kDiverged,
                what +
                    " is NaN or infinite; lower the learning rate, set clip_value, or check the "
                    "features");
}

}  // namespace

Status TrainStep::Parts::allocate(uint32_t input_width) {
  copies = backend.device_address(backend.allocate_host(sizeof(float)).floats().data()) == nullptr;
  while (model->parameters_of_layer(first_trained).empty()) ++first_trained;
  graphs.emplace(backend, compute, copies && suits_graphs(config, input_width, rows_max));
  uint32_t widest = model->output_width();
  for (uint32_t l = 0; l < model->layer_count(); ++l) {
    widest = std::max(widest, model->input_width(l));
  }
  const auto take = [this](DeviceBuffer& memory, size_t floats) -> Status {
    BALLAST_ASSIGN(memory, backend.allocate(floats));
    return Status();
  };
  const size_t rows = rows_max;
  for (RowsMemory& memory : rows_memory) {
    BALLAST_RETURN_IF_ERROR(take(memory.features, copies ? rows * input_width : 0));
    BALLAST_RETURN_IF_ERROR(take(memory.labels, copies ? rows * label_width : 0));
    BALLAST_RETURN_IF_ERROR(take(memory.row_weights, copies ? rows : 0));
    memory.arrived = backend.create_event();
  }
  BALLAST_RETURN_IF_ERROR(take(row_loss, rows));
  BALLAST_RETURN_IF_ERROR(take(row_correct, rows));
  for (DeviceBuffer& memory : dy) BALLAST_RETURN_IF_ERROR(take(memory, rows * widest));
  const size_t parameter_count = model->parameters().size();
  BALLAST_RETURN_IF_ERROR(take(found_bad, parameter_count));
  gradient_memory.resize(parameter_count);
  batch_memory.resize(parameter_count);
  for (size_t p = 0; p < parameter_count; ++p) {
    const size_t floats = model->parameters()[p].element_count();
    BALLAST_RETURN_IF_ERROR(take(gradient_memory[p], copies ? floats : 0));
    BALLAST_RETURN_IF_ERROR(take(batch_memory[p], sums_batches ? floats : 0));
  }
  gradients.resize(parameter_count);
  batch_gradients.resize(parameter_count);
  host_row_loss = backend.allocate_host(rows * sizeof(float));
  host_row_correct = backend.allocate_host(rows * sizeof(float));
  host_found_bad = backend.allocate_host(parameter_count * sizeof(float));
  outputs_computed = backend.create_event();
  losses_computed = backend.create_event();
  losses_here = backend.create_event();
  pass_computed = backend.create_event();
  for (uint32_t l = 0; l < model->layer_count(); ++l) {
    weights_arrived.push_back(backend.create_event());
    gradients_computed.push_back(backend.create_event());
    gradients_here.push_back(backend.create_event());
  }
  started.reserve(model->layer_count());
  return Status();
}

// ---------------------------------------------------------------- in

ConstMatrix TrainStep::Parts::on_device(std::span<const float> host, uint32_t rows,
                                        uint32_t columns, DeviceBuffer& memory) {
  BALLAST_CHECK(rows > 0 && rows <= rows_max);
  BALLAST_CHECK(host.size() == size_t{rows} * columns);
  // The back end only reads through it.
  if (float* address = backend.device_address(const_cast<float*>(host.data()))) {
    return {address, rows, columns};
  }
  const Matrix copy = memory.matrix(rows, columns);
  backend.upload(uploads, host, copy);
  return copy;
}

// Puts the rows on their way: into the memory that the pass before the last one used. That one is
// computed, because the last one ended with its losses, which came after.
DeviceRows TrainStep::Parts::take_rows(const StepRows& batch, bool training) {
  RowsMemory& memory = rows_memory[++pass_count % 2];
  DeviceRows rows;
  {
    const DeviceTrace::Part part(copies ? trace.get() : nullptr, uploads, "upload");
    rows.features = on_device(batch.features, batch.rows, model->input_width(0), memory.features);
    if (!batch.labels.empty()) {
      rows.labels = on_device(batch.labels, batch.rows, label_width, memory.labels);
    }
    if (training && !batch.weights.empty()) {
      rows.row_weights = on_device(batch.weights, batch.rows, 1, memory.row_weights);
      rows.row_weights = {rows.row_weights.device_data, 1, batch.rows};
    }
  }
  if (copies) {
    backend.record(memory.arrived, uploads);
    backend.wait(compute, memory.arrived);
  }
  return rows;
}

// Puts new weights of a layer on their way, over those that the last pass used.
void TrainStep::Parts::put_weights(uint32_t layer) {
  if (!copies || !model->is_stale(layer)) return;
  backend.wait(uploads, pass_computed);
  {
    const DeviceTrace::Part part(trace.get(), uploads, "upload", layer);
    model->refresh(layer, uploads);
  }
  backend.record(weights_arrived[layer], uploads);
  backend.wait(compute, weights_arrived[layer]);
}

// ---------------------------------------------------------------- forward

Result<ConstMatrix> TrainStep::Parts::forward(ConstMatrix x, const Pass& pass,
                                              const StepHooks& hooks) {
  for (uint32_t layer = 0; layer < model->layer_count(); ++layer) {
    if (!model->parameters_of_layer(layer).empty()) {
      if (hooks.weights_needed) BALLAST_RETURN_IF_ERROR(hooks.weights_needed(layer));
      put_weights(layer);
    }
    const DeviceTrace::Part part(trace.get(), compute, "forward", layer);
    x = model->forward(layer, pass, x);
  }
  return x;
}

// What is put on `downloads` from now on sees all that is on `compute` by now.
void TrainStep::Parts::let_downloads_follow(EventId computed) {
  if (!copies) return;
  backend.record(computed, compute);
  backend.wait(downloads, computed);
}

// `dz`: the derivative, or empty (evaluation).
void TrainStep::Parts::put_losses(ConstMatrix outputs, const DeviceRows& rows, Matrix dz) {
  const DeviceTrace::Part part(trace.get(), compute, "loss");
  backend.loss(compute, config.loss, outputs, rows.labels, rows.row_weights,
               row_loss.matrix(1, outputs.rows), row_correct.matrix(1, outputs.rows), dz);
}

// Puts the losses of so many rows on their way to the host.
void TrainStep::Parts::start_losses(uint32_t rows) {
  let_downloads_follow(losses_computed);
  const DeviceTrace::Part part(trace.get(), downloads, "download");
  backend.download(downloads, row_loss.matrix(1, rows), host_row_loss.floats().first(rows));
  backend.download(downloads, row_correct.matrix(1, rows), host_row_correct.floats().first(rows));
  backend.record(losses_here, downloads);
}

// Row losses are summed on the host in row order, in double: the same on every device that has the
// same row losses, and a bad row can be named.
Result<StepResult> TrainStep::Parts::read_losses(const StepRows& batch, const StepHooks& hooks) {
  BALLAST_RETURN_IF_ERROR(backend.synchronize(losses_here));
  const std::span<const float> loss = host_row_loss.floats();
  const std::span<const float> correct = host_row_correct.floats();
  StepResult result;
  for (uint32_t r = 0; r < batch.rows; ++r) {
    const double weight = batch.weights.empty() ? 1.0 : batch.weights[r];
    if (weight == 0) continue;
    if (!std::isfinite(loss[r])) {
      const std::string row = hooks.row_name ? hooks.row_name(r) : fmt::format("row {}", r);
      return not_finite("bad gradient: the loss of " + row);
    }
    result.weight_sum += weight;
    result.loss_sum += weight * loss[r];
    result.correct += weight * correct[r];
  }
  if (config.loss != LossKind::kMeanSquaredError) {
    result.label_weight = result.weight_sum * label_width;
  }
  return result;
}

// ---------------------------------------------------------------- backward

// layer_computed(layer): its gradients were put on `compute`.
template <typename LayerComputed>
Status TrainStep::Parts::backward(const Pass& pass, Matrix last_dy, Run& run,
                                  const LayerComputed& layer_computed) {
  Matrix layer_dy = last_dy;
  uint32_t spare = 1;
  for (uint32_t layer = model->layer_count(); layer-- > first_trained;) {
    if (!model->parameters_of_layer(layer).empty()) {
      compute_gradients(layer, pass, layer_dy, run);
      BALLAST_RETURN_IF_ERROR(layer_computed(layer));
    }
    if (layer == first_trained) break;
    const Matrix dx = dy[spare].matrix(pass.rows, model->input_width(layer));
    const DeviceTrace::Part part(trace.get(), compute, "backward input", layer);
    model->input_gradient(layer, pass, layer_dy, dx);
    layer_dy = dx;
    spare = 1 - spare;
  }
  return Status();
}

// Puts the gradients of a layer on the stream, and their sum with those of the batches before.
void TrainStep::Parts::compute_gradients(uint32_t layer, const Pass& pass, Matrix layer_dy,
                                         Run& run) {
  const Model::Range range = model->parameters_of_layer(layer);
  const bool first = run.context.first;
  for (uint32_t p = range.first; p < range.last; ++p) {
    const std::span<float> host = run.out.parameters[p].floats();
    BALLAST_CHECK(host.size() == model->parameters()[p].element_count());
    float* address = backend.device_address(host.data());
    if (address == nullptr) address = at(gradient_memory[p], 0).device_data;
    gradients[p] = model->shaped(p, address);
    batch_gradients[p] =
        first ? gradients[p] : model->shaped(p, at(batch_memory[p], 0).device_data);
  }
  const DeviceTrace::Part part(trace.get(), compute, "backward", layer);
  model->gradients(layer, pass, layer_dy,
                   std::span(batch_gradients).subspan(range.first, range.last - range.first));
  for (uint32_t p = range.first; p < range.last; ++p) {
    if (!first) backend.add(compute, batch_gradients[p], gradients[p]);
    if (run.context.last) backend.find_non_finite(compute, gradients[p], at(found_bad, p));
  }
}

// Puts a layer's gradients on their way to the host.
void TrainStep::Parts::start_download(uint32_t layer, Run& run) {
  let_downloads_follow(gradients_computed[layer]);
  {
    const DeviceTrace::Part part(trace.get(), downloads, "download", layer);
    const Model::Range range = model->parameters_of_layer(layer);
    for (uint32_t p = range.first; p < range.last; ++p) {
      backend.download(downloads, at(found_bad, p), host_found_bad.floats().subspan(p, 1));
      if (copies) backend.download(downloads, gradients[p], run.out.parameters[p].floats());
    }
  }
  backend.record(gradients_here[layer], downloads);
  started.push_back(layer);
}

// The device computes gradients before anybody has seen the losses: no gradient is handed over
// before them.
Status TrainStep::Parts::check_losses(Run& run) {
  if (run.losses) return Status();
  BALLAST_ASSIGN(run.losses, read_losses(run.rows, run.hooks));
  return Status();
}

Status TrainStep::Parts::finish_gradients(uint32_t layer, Run& run) {
  BALLAST_RETURN_IF_ERROR(check_losses(run));
  BALLAST_RETURN_IF_ERROR(backend.synchronize(gradients_here[layer]));
  const Model::Range range = model->parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    if (host_found_bad.floats()[p] != 0) {
      return not_finite(fmt::format("bad gradient: a value of {}", model->parameters()[p].name));
    }
  }
  return run.hooks.gradient_final ? run.hooks.gradient_final(layer) : Status();
}

// Hands over what has arrived, oldest first; on a device of its own that is a layer or two behind.
Status TrainStep::Parts::finish_ready(Run& run, bool wait_for_all) {
  while (finished < started.size()) {
    const uint32_t layer = started[finished];
    if (!wait_for_all && !backend.happened(gradients_here[layer])) break;
    ++finished;
    BALLAST_RETURN_IF_ERROR(finish_gradients(layer, run));
  }
  return Status();
}

Result<std::unique_ptr<TrainStep>> TrainStep::create(const ModelConfig& model, uint32_t input_width,
                                                     uint32_t label_width, uint32_t rows_max,
                                                     Backend& backend, bool sums_batches) {
  BALLAST_CHECK(rows_max > 0);
  BALLAST_RETURN_IF_ERROR(check_model(model, input_width, label_width));
  auto parts = std::make_unique<Parts>(model, label_width, rows_max, sums_batches, backend);
  BALLAST_ASSIGN(parts->model, Model::create(model, input_width, rows_max, backend));
  BALLAST_RETURN_IF_ERROR(parts->allocate(input_width));
  return std::unique_ptr<TrainStep>(new TrainStep(std::move(parts)));
}

TrainStep::TrainStep(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TrainStep::~TrainStep() = default;

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

Buffer TrainStep::allocate_host(size_t bytes) {
  return parts_->backend.allocate_host(bytes);
}

void TrainStep::trace(DeviceTracks& device) {
  parts_->trace = std::make_unique<DeviceTrace>(
      parts_->backend, std::vector<DeviceTrace::Stream>{{parts_->compute, device.compute},
                                                        {parts_->uploads, device.uploads},
                                                        {parts_->downloads, device.downloads}});
}

Result<StepResult> TrainStep::run(const StepRows& batch, const StepContext& context,
                                  GradientSet& out, const StepHooks& hooks) {
  BALLAST_CHECK(out.parameters.size() == parameters().size());
  BALLAST_CHECK((context.first && context.last) || parts_->sums_batches);
  BALLAST_RETURN_IF_ERROR(
      check_labels(parts_->config.loss, output_width(), batch.labels, batch.rows));
  return parts_->settled(parts_->run(batch, context, out, hooks));
}

Result<StepResult> TrainStep::evaluate(const StepRows& batch, std::span<float> outputs) {
  BALLAST_RETURN_IF_ERROR(
      check_labels(parts_->config.loss, output_width(), batch.labels, batch.rows));
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
  if (!outcome.ok()) {
    for (const StreamId stream : {uploads, compute, downloads}) (void)backend.synchronize(stream);
  }
  return outcome;
}

// The losses are here when it ends, so the rows and weights on the host have been read. The
// gradients too, unless the sum goes on: then the device may still work.
Result<StepResult> TrainStep::Parts::run(const StepRows& batch, const StepContext& context,
                                         GradientSet& out, const StepHooks& hooks) {
  const DeviceTrace::Pass traced(trace.get(), context.clock, context.lane);
  Run run{batch, context, out, hooks, std::nullopt};
  const Pass pass{compute, batch.rows, true, context.seed, context.batch, context.lane};
  const DeviceRows rows = take_rows(batch, true);
  started.clear();
  finished = 0;
  const StepShape shape{batch.rows, !batch.weights.empty(), context.first, context.last,
                        pass_count % 2};
  // A trace tells layer by layer.
  if (!traced.is_told() && graphs->way(shape) != StepGraphs::Way::kOneByOne) {
    BALLAST_RETURN_IF_ERROR(put_as_graph(pass, rows, run, shape));
  } else {
    BALLAST_RETURN_IF_ERROR(put_one_by_one(pass, rows, run));
  }
  BALLAST_RETURN_IF_ERROR(finish_ready(run, true));
  BALLAST_RETURN_IF_ERROR(check_losses(run));
  return *run.losses;
}

// Layer by layer, gradients leaving as they come.
Status TrainStep::Parts::put_one_by_one(const Pass& pass, const DeviceRows& rows, Run& run) {
  BALLAST_ASSIGN(const ConstMatrix outputs, forward(rows.features, pass, run.hooks));
  const Matrix dz = dy[0].matrix(pass.rows, model->output_width());
  put_losses(outputs, rows, dz);
  start_losses(pass.rows);
  BALLAST_RETURN_IF_ERROR(backward(pass, dz, run, [&](uint32_t layer) {
    if (run.context.last) start_download(layer, run);
    return finish_ready(run, false);
  }));
  if (copies) backend.record(pass_computed, compute);
  return Status();
}

// The arithmetic by one call, between the arrival of the last weights and the leaving of the first
// gradients.
Status TrainStep::Parts::put_as_graph(const Pass& pass, const DeviceRows& rows, Run& run,
                                      const StepShape& shape) {
  for (uint32_t layer = 0; layer < model->layer_count(); ++layer) {
    if (model->parameters_of_layer(layer).empty()) continue;
    if (run.hooks.weights_needed) BALLAST_RETURN_IF_ERROR(run.hooks.weights_needed(layer));
    put_weights(layer);
  }
  if (graphs->way(shape) == StepGraphs::Way::kKeep && !keep_graph(pass, rows, run, shape)) {
    return put_one_by_one(pass, rows, run);
  }
  graphs->launch(shape);
  backend.record(pass_computed, compute);
  start_losses(pass.rows);
  for (uint32_t layer = model->layer_count(); run.context.last && layer-- > first_trained;) {
    if (!model->parameters_of_layer(layer).empty()) start_download(layer, run);
  }
  return Status();
}

bool TrainStep::Parts::keep_graph(const Pass& pass, const DeviceRows& rows, Run& run,
                                  const StepShape& shape) {
  graphs->begin();
  const Matrix dz = dy[0].matrix(pass.rows, model->output_width());
  Status kept = [&]() -> Status {
    BALLAST_ASSIGN(const ConstMatrix outputs, forward(rows.features, pass, {}));
    put_losses(outputs, rows, dz);
    return backward(pass, dz, run, [](uint32_t) { return Status(); });
  }();
  return graphs->end(shape) && kept.ok();
}

Result<StepResult> TrainStep::Parts::evaluate(const StepRows& batch, std::span<float> outputs) {
  const Pass pass{.stream = compute, .rows = batch.rows};
  const DeviceRows rows = take_rows(batch, false);
  BALLAST_ASSIGN(const ConstMatrix z, forward(rows.features, pass, {}));
  if (!outputs.empty()) {
    let_downloads_follow(outputs_computed);
    backend.download(downloads, z, outputs);
  }
  put_losses(z, rows, Matrix());
  start_losses(batch.rows);
  if (copies) backend.record(pass_computed, compute);
  return read_losses(batch, {});
}

Status TrainStep::Parts::predict(std::span<const float> rows_features, uint32_t rows,
                                 std::span<float> predictions) {
  const Pass pass{.stream = compute, .rows = rows};
  const DeviceRows taken = take_rows({rows_features, {}, {}, rows}, false);
  BALLAST_ASSIGN(const ConstMatrix z, forward(taken.features, pass, {}));
  const Matrix y = dy[0].matrix(rows, model->output_width());
  backend.predict(compute, config.loss, z, y);
  if (copies) backend.record(pass_computed, compute);
  let_downloads_follow(outputs_computed);
  backend.download(downloads, y, predictions);
  return backend.synchronize(downloads);
}

}  // namespace ballast
