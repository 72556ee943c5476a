#include "worker/train_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/check.h"
#include "common/optimizer/fold.h"
#include "worker/device_trace.h"
#include "worker/model/model.h"
#include "worker/model/model_check.h"

namespace ballast {

void add(GradientSet& into, const GradientSet& other) {
  BALLAST_CHECK(into.parameters.size() == other.parameters.size());
  for (size_t p = 0; p < into.parameters.size(); ++p) {
    add_into(into.parameters[p].floats(), other.parameters[p].floats());
  }
}

// Everything a step holds, and its scenes. Host and device sides of inputs and gradients are the
// same memory where the device computes on host memory.
struct TrainStep::Parts {
  Parts(const ModelConfig& model_config, uint32_t label_width_in, uint32_t rows_max_in,
        bool sums_batches_in, Backend& backend_in)
      : config(model_config),
        label_width(label_width_in),
        rows_max(rows_max_in),
        sums_batches(sums_batches_in),
        backend(backend_in),
        stream(backend_in.create_stream()) {}

  Status allocate(uint32_t input_width);
  ConstMatrix on_device(std::span<const float> host, uint32_t rows, uint32_t columns,
                        DeviceBuffer& memory);
  Result<ConstMatrix> forward(ConstMatrix x, const Pass& pass, const StepHooks& hooks);
  Result<StepResult> losses(ConstMatrix outputs, const StepRows& batch, Matrix dz,
                            const StepHooks& hooks);
  Result<StepResult> run(const StepRows& batch, const StepContext& context, GradientSet& out,
                         const StepHooks& hooks);
  Result<StepResult> evaluate(const StepRows& batch, std::span<float> outputs);
  Status predict(std::span<const float> rows_features, uint32_t rows, std::span<float> predictions);
  template <typename Outcome>
  Outcome settled(Outcome outcome);
  Status backward(const Pass& pass, Matrix dy, const StepContext& context, GradientSet& out,
                  const StepHooks& hooks);
  void compute_gradients(uint32_t layer, const Pass& pass, Matrix dy, bool first, GradientSet& out);
  void start_download(uint32_t layer, GradientSet& out);
  void put_download(uint32_t layer, GradientSet& out);
  Status finish_gradients(uint32_t layer, const StepHooks& hooks);
  Status finish_ready(const StepHooks& hooks, bool wait_for_all);

  const ModelConfig config;
  const uint32_t label_width;
  const uint32_t rows_max;
  const bool sums_batches;
  Backend& backend;  // outlives the step
  const StreamId stream;
  std::unique_ptr<Model> model;
  std::unique_ptr<DeviceTrace> trace;  // null: nobody wants to know

  DeviceBuffer features;     // [rows_max, input], unless the device reads host memory
  DeviceBuffer labels;       // [rows_max, label_width], likewise
  DeviceBuffer row_weights;  // [rows_max], likewise
  DeviceBuffer row_loss;     // [rows_max]
  DeviceBuffer row_correct;  // [rows_max]
  DeviceBuffer dy[2];        // [rows_max, widest layer]: backward goes from one to the other
  Buffer host_row_loss;
  Buffer host_row_correct;

  std::vector<DeviceBuffer> gradient_memory;  // by parameter, unless the device writes host memory
  std::vector<DeviceBuffer> batch_memory;     // by parameter: of one batch of a sum
  std::vector<Matrix> gradients;              // by parameter, of this step
  std::vector<Matrix> batch_gradients;        // by parameter: where this batch's gradients go
  DeviceBuffer found_bad;                     // [parameters]: 1 where a gradient is not finite
  Buffer host_found_bad;
  std::vector<EventId> gradient_done;  // by layer: gradients and found_bad are on the host
  std::vector<uint32_t> started;  // layers whose gradients were put on the stream, in that order
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
  const bool copies =
      backend.device_address(backend.allocate_host(sizeof(float)).floats().data()) == nullptr;
  uint32_t widest = model->output_width();
  for (uint32_t l = 0; l < model->layer_count(); ++l) {
    widest = std::max(widest, model->input_width(l));
  }
  const auto take = [this](DeviceBuffer& memory, size_t floats) -> Status {
    BALLAST_ASSIGN(memory, backend.allocate(floats));
    return Status();
  };
  const size_t rows = rows_max;
  BALLAST_RETURN_IF_ERROR(take(features, copies ? rows * input_width : 0));
  BALLAST_RETURN_IF_ERROR(take(labels, copies ? rows * label_width : 0));
  BALLAST_RETURN_IF_ERROR(take(row_weights, copies ? rows : 0));
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
  for (uint32_t l = 0; l < model->layer_count(); ++l) {
    gradient_done.push_back(backend.create_event());
  }
  started.reserve(model->layer_count());
  return Status();
}

ConstMatrix TrainStep::Parts::on_device(std::span<const float> host, uint32_t rows,
                                        uint32_t columns, DeviceBuffer& memory) {
  BALLAST_CHECK(rows > 0 && rows <= rows_max);
  BALLAST_CHECK(host.size() == size_t{rows} * columns);
  const DeviceTrace::Part part(trace.get(), "upload");
  // The back end only reads through it.
  if (float* address = backend.device_address(const_cast<float*>(host.data()))) {
    return {address, rows, columns};
  }
  const Matrix copy = memory.matrix(rows, columns);
  backend.upload(stream, host, copy);
  return copy;
}

Result<ConstMatrix> TrainStep::Parts::forward(ConstMatrix x, const Pass& pass,
                                              const StepHooks& hooks) {
  for (uint32_t layer = 0; layer < model->layer_count(); ++layer) {
    if (!model->parameters_of_layer(layer).empty()) {
      if (hooks.weights_needed) BALLAST_RETURN_IF_ERROR(hooks.weights_needed(layer));
      const DeviceTrace::Part part(trace.get(), "upload", layer);
      model->refresh(layer, stream);
    }
    const DeviceTrace::Part part(trace.get(), "forward", layer);
    x = model->forward(layer, pass, x);
  }
  return x;
}

// Row losses are summed on the host in row order, in double: the same on every device that has the
// same row losses, and a bad row can be named.
Result<StepResult> TrainStep::Parts::losses(ConstMatrix outputs, const StepRows& batch, Matrix dz,
                                            const StepHooks& hooks) {
  const uint32_t rows = batch.rows;
  const ConstMatrix device_labels = on_device(batch.labels, rows, label_width, labels);
  // A matrix of one row: [1, rows]. Evaluation needs none on the device.
  ConstMatrix device_weights;
  if (!batch.weights.empty() && !dz.empty()) {
    device_weights = on_device(batch.weights, rows, 1, row_weights);
    device_weights = {device_weights.device_data, 1, rows};
  }
  const std::span<float> loss = host_row_loss.floats().first(rows);
  const std::span<float> correct = host_row_correct.floats().first(rows);
  {
    const DeviceTrace::Part part(trace.get(), "loss");
    backend.loss(stream, config.loss, outputs, device_labels, device_weights,
                 row_loss.matrix(1, rows), row_correct.matrix(1, rows), dz);
  }
  {
    const DeviceTrace::Part part(trace.get(), "download");
    backend.download(stream, row_loss.matrix(1, rows), loss);
    backend.download(stream, row_correct.matrix(1, rows), correct);
  }
  BALLAST_RETURN_IF_ERROR(backend.synchronize(stream));
  StepResult result;
  for (uint32_t r = 0; r < rows; ++r) {
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

Status TrainStep::Parts::backward(const Pass& pass, Matrix last_dy, const StepContext& context,
                                  GradientSet& out, const StepHooks& hooks) {
  started.clear();
  finished = 0;
  Matrix layer_dy = last_dy;
  uint32_t spare = 1;
  uint32_t first_trained = 0;  // nobody needs the derivative below the first layer with parameters
  while (model->parameters_of_layer(first_trained).empty()) ++first_trained;
  for (uint32_t layer = model->layer_count(); layer-- > first_trained;) {
    if (!model->parameters_of_layer(layer).empty()) {
      compute_gradients(layer, pass, layer_dy, context.first, out);
      if (context.last) start_download(layer, out);
      BALLAST_RETURN_IF_ERROR(finish_ready(hooks, false));
    }
    if (layer == first_trained) break;
    const Matrix dx = dy[spare].matrix(pass.rows, model->input_width(layer));
    const DeviceTrace::Part part(trace.get(), "backward input", layer);
    model->input_gradient(layer, pass, layer_dy, dx);
    layer_dy = dx;
    spare = 1 - spare;
  }
  return finish_ready(hooks, true);
}

// Puts the gradients of a layer on the stream, and their sum with those of the batches before.
void TrainStep::Parts::compute_gradients(uint32_t layer, const Pass& pass, Matrix layer_dy,
                                         bool first, GradientSet& out) {
  const Model::Range range = model->parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    const std::span<float> host = out.parameters[p].floats();
    BALLAST_CHECK(host.size() == model->parameters()[p].element_count());
    float* address = backend.device_address(host.data());
    if (address == nullptr) address = at(gradient_memory[p], 0).device_data;
    gradients[p] = model->shaped(p, address);
    batch_gradients[p] =
        first ? gradients[p] : model->shaped(p, at(batch_memory[p], 0).device_data);
  }
  const DeviceTrace::Part part(trace.get(), "backward", layer);
  model->gradients(layer, pass, layer_dy,
                   std::span(batch_gradients).subspan(range.first, range.last - range.first));
  if (first) return;
  for (uint32_t p = range.first; p < range.last; ++p) {
    backend.add(stream, batch_gradients[p], gradients[p]);
  }
}

// Puts the check of a layer's gradients and their way to the host on the stream.
void TrainStep::Parts::start_download(uint32_t layer, GradientSet& out) {
  put_download(layer, out);
  backend.record(gradient_done[layer], stream);
  started.push_back(layer);
}

void TrainStep::Parts::put_download(uint32_t layer, GradientSet& out) {
  const DeviceTrace::Part part(trace.get(), "download", layer);
  const Model::Range range = model->parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    backend.find_non_finite(stream, gradients[p], at(found_bad, p));
    backend.download(stream, at(found_bad, p), host_found_bad.floats().subspan(p, 1));
    if (gradient_memory[p].floats() > 0) {
      backend.download(stream, gradients[p], out.parameters[p].floats());
    }
  }
}

Status TrainStep::Parts::finish_gradients(uint32_t layer, const StepHooks& hooks) {
  BALLAST_RETURN_IF_ERROR(backend.synchronize(gradient_done[layer]));
  const Model::Range range = model->parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    if (host_found_bad.floats()[p] != 0) {
      return not_finite(fmt::format("bad gradient: a value of {}", model->parameters()[p].name));
    }
  }
  return hooks.gradient_final ? hooks.gradient_final(layer) : Status();
}

// Hands over what has arrived, oldest first; on a device of its own that is a layer or two behind.
Status TrainStep::Parts::finish_ready(const StepHooks& hooks, bool wait_for_all) {
  while (finished < started.size()) {
    const uint32_t layer = started[finished];
    if (!wait_for_all && !backend.happened(gradient_done[layer])) break;
    ++finished;
    BALLAST_RETURN_IF_ERROR(finish_gradients(layer, hooks));
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

void TrainStep::trace(TraceTrack& device) {
  parts_->trace = std::make_unique<DeviceTrace>(parts_->backend, parts_->stream, device);
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
  if (!outcome.ok()) (void)backend.synchronize(stream);
  return outcome;
}

Result<StepResult> TrainStep::Parts::run(const StepRows& batch, const StepContext& context,
                                         GradientSet& out, const StepHooks& hooks) {
  const DeviceTrace::Pass traced(trace.get(), context.clock, context.lane);
  const Pass pass{stream, batch.rows, true, context.seed, context.batch, context.lane};
  const ConstMatrix x = on_device(batch.features, batch.rows, model->input_width(0), features);
  BALLAST_ASSIGN(const ConstMatrix outputs, forward(x, pass, hooks));
  const Matrix dz = dy[0].matrix(batch.rows, model->output_width());
  BALLAST_ASSIGN(const StepResult result, losses(outputs, batch, dz, hooks));
  BALLAST_RETURN_IF_ERROR(backward(pass, dz, context, out, hooks));
  return result;
}

Result<StepResult> TrainStep::Parts::evaluate(const StepRows& batch, std::span<float> outputs) {
  const Pass pass{.stream = stream, .rows = batch.rows};
  const ConstMatrix x = on_device(batch.features, batch.rows, model->input_width(0), features);
  BALLAST_ASSIGN(const ConstMatrix z, forward(x, pass, {}));
  if (!outputs.empty()) backend.download(stream, z, outputs);
  return losses(z, batch, Matrix(), {});
}

Status TrainStep::Parts::predict(std::span<const float> rows_features, uint32_t rows,
                                 std::span<float> predictions) {
  const Pass pass{.stream = stream, .rows = rows};
  const ConstMatrix x = on_device(rows_features, rows, model->input_width(0), features);
  BALLAST_ASSIGN(const ConstMatrix z, forward(x, pass, {}));
  const Matrix y = dy[0].matrix(rows, model->output_width());
  backend.predict(stream, config.loss, z, y);
  backend.download(stream, y, predictions);
  return backend.synchronize(stream);
}

}  // namespace ballast
