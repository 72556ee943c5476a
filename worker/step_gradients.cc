#include "worker/step_gradients.h"

#include <fmt/format.h>

#include <numeric>
#include <span>

#include "common/base/check.h"
#include "common/optimizer/fold.h"
#include "worker/step_losses.h"

namespace ballast {

double weight_of(std::span<const float> weights, size_t rows) {
  if (weights.empty()) return static_cast<double>(rows);
  return std::accumulate(weights.begin(), weights.end(), 0.0);
}

void add(GradientSet& into, const GradientSet& other) {
  BALLAST_CHECK(into.parameters.size() == other.parameters.size());
  for (size_t p = 0; p < into.parameters.size(); ++p) {
    add_into(into.parameters[p].floats(), other.parameters[p].floats());
  }
}

StepGradients::StepGradients(StepStreams& streams, Model& model, bool sums_batches)
    : streams_(streams), model_(model), sums_batches_(sums_batches) {}

Status StepGradients::allocate() {
  Backend& backend = streams_.backend;
  const size_t count = model_.parameters().size();
  for (const ParameterSpec& parameter : model_.parameters()) {
    const size_t floats = parameter.element_count();
    BALLAST_ASSIGN(DeviceBuffer sum, backend.allocate(streams_.copies ? floats : 0));
    BALLAST_ASSIGN(DeviceBuffer batch, backend.allocate(sums_batches_ ? floats : 0));
    memory_.push_back(std::move(sum));
    batch_memory_.push_back(std::move(batch));
  }
  sums_.resize(count);
  of_batch_.resize(count);
  BALLAST_ASSIGN(found_bad_, backend.allocate(count));
  host_found_bad_ = backend.allocate_host(count * sizeof(float));
  for (uint32_t l = 0; l < model_.layer_count(); ++l) {
    computed_.push_back(backend.create_event());
    here_.push_back(backend.create_event());
  }
  started_.reserve(model_.layer_count());
  return Status();
}

void StepGradients::begin_pass() {
  started_.clear();
  finished_ = 0;
}

// [1, parameters of the range]
Matrix StepGradients::bad_flags(Model::Range range) const {
  return {found_bad_.matrix(1, range.last).device_data + range.first, 1, range.last - range.first};
}

// Where the sums of a parameter go.
Matrix StepGradients::memory_of(uint32_t parameter, GradientSet& out) const {
  const std::span<float> host = out.parameters[parameter].floats();
  BALLAST_CHECK(host.size() == model_.parameters()[parameter].element_count());
  float* address = streams_.backend.device_address(host.data());
  if (address == nullptr) address = memory_[parameter].matrix(1, 1).device_data;
  return model_.shaped(parameter, address);
}

void StepGradients::put(uint32_t layer, const Pass& pass, Matrix dy, bool first, bool last,
                        GradientSet& out) {
  Backend& backend = streams_.backend;
  const Model::Range range = model_.parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    sums_[p] = memory_of(p, out);
    of_batch_[p] = first ? sums_[p] : model_.shaped(p, batch_memory_[p].matrix(1, 1).device_data);
  }
  const DeviceTrace::Part part(streams_.trace.get(), streams_.compute, "backward", layer);
  model_.gradients(layer, pass, dy,
                   std::span(of_batch_).subspan(range.first, range.last - range.first));
  for (uint32_t p = range.first; p < range.last; ++p) {
    if (!first) backend.add(streams_.compute, of_batch_[p], sums_[p]);
    if (last) backend.find_non_finite(streams_.compute, sums_[p], bad_flags({p, p + 1}));
  }
}

void StepGradients::put_instead(uint32_t layer, GradientSet& out, const PutOne& put_one) {
  const Model::Range range = model_.parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    sums_[p] = memory_of(p, out);
    put_one(p, sums_[p]);
    streams_.backend.find_non_finite(streams_.compute, sums_[p], bad_flags({p, p + 1}));
  }
}

void StepGradients::start(uint32_t layer, GradientSet& out) {
  streams_.let_downloads_follow(computed_[layer]);
  {
    const DeviceTrace::Part part(streams_.trace.get(), streams_.downloads, "download", layer);
    const Model::Range range = model_.parameters_of_layer(layer);
    streams_.backend.download(
        streams_.downloads, bad_flags(range),
        host_found_bad_.floats().subspan(range.first, range.last - range.first));
    download(layer, out);
  }
  streams_.backend.record(here_[layer], streams_.downloads);
  started_.push_back({layer, here_[layer]});
}

void StepGradients::start_all(GradientSet& out) {
  start_together(&out);
}

void StepGradients::start_checks() {
  start_together(nullptr);
}

// One event and one copy of the flags for all: a step that is one graph should not be many copies.
void StepGradients::start_together(GradientSet* out) {
  BALLAST_CHECK(!model_.parameters().empty());
  const auto count = static_cast<uint32_t>(model_.parameters().size());
  streams_.let_downloads_follow(computed_.front());
  streams_.backend.download(streams_.downloads, bad_flags({0, count}), host_found_bad_.floats());
  for (uint32_t layer = model_.layer_count(); layer-- > 0;) {
    if (model_.parameters_of_layer(layer).empty()) continue;
    if (out != nullptr) download(layer, *out);
    started_.push_back({layer, here_.front()});
  }
  streams_.backend.record(here_.front(), streams_.downloads);
}

void StepGradients::download(uint32_t layer, GradientSet& out) {
  const Model::Range range = model_.parameters_of_layer(layer);
  for (uint32_t p = range.first; p < range.last && streams_.copies; ++p) {
    streams_.backend.download(streams_.downloads, sums_[p], out.parameters[p].floats());
  }
}

bool StepGradients::next_arrived() {
  return streams_.backend.happened(started_[finished_].here);
}

Result<std::optional<uint32_t>> StepGradients::bad_of_next() {
  BALLAST_RETURN_IF_ERROR(streams_.backend.synchronize(started_[finished_].here));
  const Model::Range range = model_.parameters_of_layer(started_[finished_].layer);
  for (uint32_t p = range.first; p < range.last; ++p) {
    if (host_found_bad_.floats()[p] != 0) return std::optional(p);
  }
  return std::optional<uint32_t>();
}

Status StepGradients::check_next() {
  BALLAST_ASSIGN(const std::optional<uint32_t> bad, bad_of_next());
  if (!bad) return Status();
  return not_finite(fmt::format("bad gradient: a value of {}", model_.parameters()[*bad].name));
}

}  // namespace ballast
