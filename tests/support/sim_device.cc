#include "tests/support/sim_device.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace ballast::testing {

SimDevice::SimDevice(uint64_t seed, Bent bent)
    : random_(seed),
      bent_(bent),
      cpu_(std::move(make_backend(Device::kCpu, {})).value()),
      cpu_stream_(cpu_->create_stream()) {}

std::string SimDevice::description() const {
  return "simulated: " + cpu_->description();
}

Result<DeviceBuffer> SimDevice::allocate(size_t floats) {
  if (allocations_left_ && (*allocations_left_)-- == 0) {
    return Status(Code::kExhausted, "simulated: no memory left");
  }
  memory_.push_back(std::make_shared<Buffer>(Buffer::allocate(floats * sizeof(float))));
  float* data = floats == 0 ? nullptr : memory_.back()->floats().data();
  return DeviceBuffer(data, floats, [](float*) {});
}

Buffer SimDevice::allocate_host(size_t bytes) {
  return Buffer::allocate(bytes);
}

float* SimDevice::device_address(float*) {
  return nullptr;
}

// ---------------------------------------------------------------- streams

void SimDevice::put(StreamId stream, std::function<void()> run, std::function<bool()> may_run) {
  if (kept_stream_) {
    BALLAST_CHECK_MSG(*kept_stream_ == stream && !may_run, "a graph is kept of another stream");
    kept_.push_back(std::move(run));
    return;
  }
  streams_.at(stream.value()).push_back({++operations_, std::move(run), std::move(may_run)});
  advance_by_chance();
}

void SimDevice::put_outside(StreamId stream, std::function<void()> run,
                            std::function<bool()> may_run) {
  BALLAST_CHECK_MSG(!kept_stream_, "a copy or an event while a graph is kept");
  put(stream, std::move(run), std::move(may_run));
}

bool SimDevice::begin_graph(StreamId stream) {
  BALLAST_CHECK(!kept_stream_);
  if (bent_ == Bent::kRefusesGraphs && refusals_++ % 2 == 0) return false;
  kept_stream_ = stream;
  return true;
}

std::optional<GraphId> SimDevice::end_graph(StreamId stream) {
  BALLAST_CHECK(kept_stream_ == stream);
  kept_stream_.reset();
  auto kept = std::exchange(kept_, {});
  if (bent_ == Bent::kRefusesGraphs) return std::nullopt;
  graphs_.push_back(std::move(kept));
  return GraphId(static_cast<uint32_t>(graphs_.size() - 1));
}

void SimDevice::launch(StreamId stream, GraphId graph) {
  ++launches_;
  for (const std::function<void()>& run : graphs_.at(graph.value())) put_outside(stream, run);
}

// One operation of a stream drawn from those that may go on -> whether there was one.
bool SimDevice::advance() {
  std::vector<std::deque<Operation>*> ready;
  uint64_t oldest = operations_ + 1;
  for (std::deque<Operation>& stream : streams_) {
    if (stream.empty()) continue;
    oldest = std::min(oldest, stream.front().number);
    if (!stream.front().may_run || stream.front().may_run()) ready.push_back(&stream);
  }
  if (ready.empty()) return false;
  std::deque<Operation>& stream = *ready[random_.below(ready.size())];
  const Operation operation = std::move(stream.front());
  stream.pop_front();
  overtaken_ += operation.number > oldest;
  operation.run();
  return true;
}

bool SimDevice::idle() const {
  return std::ranges::all_of(streams_, [](const auto& stream) { return stream.empty(); });
}

void SimDevice::advance_by_chance() {
  while (random_.chance(0.4) && advance()) {
  }
}

StreamId SimDevice::create_stream() {
  streams_.emplace_back();
  return StreamId(static_cast<uint32_t>(streams_.size() - 1));
}

EventId SimDevice::create_event() {
  events_.emplace_back();
  return EventId(static_cast<uint32_t>(events_.size() - 1));
}

EventId SimDevice::create_timed_event() {
  return create_event();
}

void SimDevice::record(EventId event, StreamId stream) {
  const uint64_t number = ++at(event).records;
  put_outside(stream, [this, event, number] {
    at(event).happened = std::max(at(event).happened, number);
    at(event).at = monotonic_now();
  });
}

void SimDevice::wait(StreamId stream, EventId event) {
  const uint64_t number = at(event).records;
  if (bent_ == Bent::kForgetsWaits) return;
  put_outside(
      stream, [] {}, [this, event, number] { return at(event).happened >= number; });
}

bool SimDevice::happened(EventId event) {
  advance_by_chance();
  return at(event).happened >= at(event).records;
}

Status SimDevice::synchronize(EventId event) {
  if (std::exchange(fails_next_wait_, false)) {
    return Status(Code::kUnavailable, "simulated: it failed");
  }
  while (at(event).happened < at(event).records) {
    BALLAST_CHECK_MSG(advance(), "every stream waits for an event that nobody will record");
  }
  return Status();
}

Status SimDevice::synchronize(StreamId stream) {
  while (!streams_.at(stream.value()).empty()) {
    BALLAST_CHECK_MSG(advance(), "every stream waits for an event that nobody will record");
  }
  return Status();
}

Duration SimDevice::between(EventId from, EventId to) {
  BALLAST_CHECK_MSG(at(to).at >= at(from).at, "times from a later event to an earlier one");
  return at(to).at - at(from).at;
}

// ---------------------------------------------------------------- operations

void SimDevice::upload(StreamId stream, std::span<const float> host_from, Matrix to) {
  put_outside(stream, [=] { std::ranges::copy(host_from, to.device_data); });
}

void SimDevice::upload(StreamId stream, std::span<const std::byte> host_from, StoredMatrix to) {
  put_outside(stream, [=] { std::ranges::copy(host_from, to.device_data); });
}

void SimDevice::upload(StreamId stream, std::span<const uint32_t> host_from, Indices to) {
  put_outside(stream, [=] { std::ranges::copy(host_from, to.device_data); });
}

void SimDevice::download(StreamId stream, ConstMatrix from, std::span<float> host_to) {
  put_outside(stream, [=] { std::copy_n(from.device_data, from.size(), host_to.data()); });
}

void SimDevice::convert(StreamId stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
                        ConstMatrix shift, Matrix y) {
  put(stream, [=, this] { cpu_->convert(cpu_stream_, x, center, factor, shift, y); });
}

void SimDevice::dense_forward(StreamId stream, ConstMatrix x, ConstMatrix w, ConstMatrix bias,
                              Activation activation, Matrix z, Matrix y) {
  put(stream, [=, this] { cpu_->dense_forward(cpu_stream_, x, w, bias, activation, z, y); });
}

void SimDevice::activation_backward(StreamId stream, Activation activation, ConstMatrix z,
                                    ConstMatrix y, ConstMatrix dy, Matrix dz) {
  put(stream, [=, this] { cpu_->activation_backward(cpu_stream_, activation, z, y, dy, dz); });
}

void SimDevice::dense_gradient(StreamId stream, ConstMatrix x, ConstMatrix dz, Matrix dw,
                               Matrix dbias) {
  put(stream, [=, this] { cpu_->dense_gradient(cpu_stream_, x, dz, dw, dbias); });
}

void SimDevice::dense_input_gradient(StreamId stream, ConstMatrix dz, ConstMatrix w, Matrix dx) {
  put(stream, [=, this] { cpu_->dense_input_gradient(cpu_stream_, dz, w, dx); });
}

void SimDevice::dropout(StreamId stream, ConstMatrix x, double rate, const DropoutKey& key,
                        Matrix y) {
  put(stream, [=, this] { cpu_->dropout(cpu_stream_, x, rate, key, y); });
}

void SimDevice::layer_norm_forward(StreamId stream, ConstMatrix x, ConstMatrix gain,
                                   ConstMatrix bias, double epsilon, Matrix mean,
                                   Matrix inverse_std, Matrix y) {
  put(stream, [=, this] {
    cpu_->layer_norm_forward(cpu_stream_, x, gain, bias, epsilon, mean, inverse_std, y);
  });
}

void SimDevice::layer_norm_backward(StreamId stream, ConstMatrix x, ConstMatrix gain,
                                    ConstMatrix mean, ConstMatrix inverse_std, ConstMatrix dy,
                                    Matrix dgain, Matrix dbias, Matrix dx) {
  put(stream, [=, this] {
    cpu_->layer_norm_backward(cpu_stream_, x, gain, mean, inverse_std, dy, dgain, dbias, dx);
  });
}

void SimDevice::segment_sum(StreamId stream, ConstMatrix x, ConstIndices rows, ConstIndices starts,
                            ConstMatrix scales, Matrix y) {
  put(stream, [=, this] { cpu_->segment_sum(cpu_stream_, x, rows, starts, scales, y); });
}

void SimDevice::dot_interaction_forward(StreamId stream, ConstMatrix x, uint32_t vectors,
                                        Matrix y) {
  put(stream, [=, this] { cpu_->dot_interaction_forward(cpu_stream_, x, vectors, y); });
}

void SimDevice::dot_interaction_backward(StreamId stream, ConstMatrix x, uint32_t vectors,
                                         ConstMatrix dy, Matrix dx) {
  put(stream, [=, this] { cpu_->dot_interaction_backward(cpu_stream_, x, vectors, dy, dx); });
}

void SimDevice::loss(StreamId stream, LossKind kind, ConstMatrix z, ConstMatrix labels,
                     ConstMatrix weights, Matrix row_loss, Matrix row_correct, Matrix dz) {
  put(stream,
      [=, this] { cpu_->loss(cpu_stream_, kind, z, labels, weights, row_loss, row_correct, dz); });
}

void SimDevice::predict(StreamId stream, LossKind kind, ConstMatrix z, Matrix y) {
  put(stream, [=, this] { cpu_->predict(cpu_stream_, kind, z, y); });
}

void SimDevice::add(StreamId stream, ConstMatrix x, Matrix into) {
  put(stream, [=, this] { cpu_->add(cpu_stream_, x, into); });
}

void SimDevice::update(StreamId stream, const OptimizerConfig& config, const UpdateArgs& args,
                       ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) {
  const std::vector<Matrix> tensors(state.begin(), state.end());
  put(stream, [=, this] { cpu_->update(cpu_stream_, config, args, gradient, weights, tensors); });
}

void SimDevice::difference(StreamId stream, ConstMatrix now, ConstMatrix before, float factor,
                           Matrix changes) {
  put(stream, [=, this] { cpu_->difference(cpu_stream_, now, before, factor, changes); });
}

void SimDevice::copy(StreamId stream, ConstMatrix from, Matrix to) {
  put(stream, [=, this] { cpu_->copy(cpu_stream_, from, to); });
}

void SimDevice::clear(StreamId stream, Matrix values) {
  put(stream, [=, this] { cpu_->clear(cpu_stream_, values); });
}

void SimDevice::find_non_finite(StreamId stream, ConstMatrix values, Matrix found) {
  put(stream, [=, this] { cpu_->find_non_finite(cpu_stream_, values, found); });
}

}  // namespace ballast::testing
