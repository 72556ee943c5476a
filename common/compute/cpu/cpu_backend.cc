#include "common/compute/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "common/base/check.h"
#include "common/compute/cpu/kernels.h"

namespace ballast::cpu {

CpuBackend::CpuBackend(const BackendOptions& options, std::string instruction_set)
    : instruction_set_(std::move(instruction_set)), gemm_(options.threads) {}

std::string CpuBackend::description() const {
  const uint32_t threads = gemm_.threads();
  return fmt::format("{}, {} thread{}", arithmetic(), threads, threads == 1 ? "" : "s");
}

std::string CpuBackend::arithmetic() const {
  return fmt::format("cpu: {}, {}", instruction_set_, gemm_.tiles());
}

Result<DeviceBuffer> CpuBackend::allocate(size_t floats) {
  if (floats == 0) return DeviceBuffer();
  const size_t bytes = floats * sizeof(float);
  try {
    Buffer memory = Buffer::allocate(bytes);
    auto* data = reinterpret_cast<float*>(memory.data());
    return DeviceBuffer(data, floats, [keep = std::move(memory)](float*) {});
  } catch (const std::bad_alloc&) {
    return Status(Code::kExhausted, fmt::format("cpu: no memory for {} bytes", bytes));
  }
}

Buffer CpuBackend::allocate_host(size_t bytes) {
  return Buffer::allocate(bytes);
}

float* CpuBackend::device_address(float* host_data) {
  return host_data;
}

void CpuBackend::upload(StreamId /*stream*/, std::span<const float> host_from, Matrix to) {
  BALLAST_CHECK(host_from.size() == to.size());
  if (host_from.empty()) return;  // perhaps from nowhere
  std::memmove(to.device_data, host_from.data(), host_from.size_bytes());
}

void CpuBackend::upload(StreamId /*stream*/, std::span<const uint32_t> host_from, Indices to) {
  BALLAST_CHECK(host_from.size() == to.count);
  if (host_from.empty()) return;  // perhaps from nowhere
  std::memmove(to.device_data, host_from.data(), host_from.size_bytes());
}

void CpuBackend::upload(StreamId /*stream*/, std::span<const std::byte> host_from,
                        StoredMatrix to) {
  BALLAST_CHECK(host_from.size() == to.bytes());
  if (host_from.empty()) return;  // perhaps from nowhere
  std::memmove(to.device_data, host_from.data(), host_from.size());
}

void CpuBackend::download(StreamId /*stream*/, ConstMatrix from, std::span<float> host_to) {
  BALLAST_CHECK(host_to.size() == from.size());
  if (host_to.empty()) return;
  std::memmove(host_to.data(), from.device_data, host_to.size_bytes());
}

StreamId CpuBackend::create_stream() {
  return StreamId(streams_++);
}

EventId CpuBackend::create_event() {
  events_.emplace_back();
  return EventId(static_cast<uint32_t>(events_.size() - 1));
}

EventId CpuBackend::create_timed_event() {
  const EventId event = create_event();
  events_[event.value()].timed = true;
  return event;
}

void CpuBackend::record(EventId event, StreamId stream) {
  BALLAST_CHECK(event.value() < events_.size() && stream.value() < streams_);
  if (events_[event.value()].timed) events_[event.value()].recorded = monotonic_now();
}

Duration CpuBackend::between(EventId from, EventId to) {
  BALLAST_CHECK(from.value() < events_.size() && to.value() < events_.size());
  const Event& first = events_[from.value()];
  const Event& last = events_[to.value()];
  BALLAST_CHECK(first.timed && first.recorded != Time{} && last.timed && last.recorded != Time{});
  return last.recorded - first.recorded;
}

void CpuBackend::wait(StreamId stream, EventId event) {
  BALLAST_CHECK(event.value() < events_.size() && stream.value() < streams_);
}

bool CpuBackend::happened(EventId event) {
  BALLAST_CHECK(event.value() < events_.size());
  return true;
}

Status CpuBackend::synchronize(EventId event) {
  BALLAST_CHECK(event.value() < events_.size());
  return Status();
}

Status CpuBackend::synchronize(StreamId stream) {
  BALLAST_CHECK(stream.value() < streams_);
  return Status();
}

void CpuBackend::convert(StreamId /*stream*/, StoredMatrix x, ConstMatrix center,
                         ConstMatrix factor, ConstMatrix shift, Matrix y) {
  cpu::convert(x, center, factor, shift, y);
}

void CpuBackend::dense_forward(StreamId /*stream*/, ConstMatrix x, ConstMatrix w, ConstMatrix bias,
                               Activation activation, Matrix z, Matrix y) {
  BALLAST_CHECK(!needs_input(activation) || !z.empty());
  gemm_.multiply(x, w, y);
  bias_activation(bias, activation, z, y);
}

void CpuBackend::activation_backward(StreamId /*stream*/, Activation activation, ConstMatrix z,
                                     ConstMatrix y, ConstMatrix dy, Matrix dz) {
  cpu::activation_backward(activation, z, y, dy, dz);
}

void CpuBackend::dense_gradient(StreamId /*stream*/, ConstMatrix x, ConstMatrix dz, Matrix dw,
                                Matrix dbias) {
  gemm_.multiply_at_b(x, dz, dw);
  if (!dbias.empty()) column_sums(dz, dbias);
}

void CpuBackend::dense_input_gradient(StreamId /*stream*/, ConstMatrix dz, ConstMatrix w,
                                      Matrix dx) {
  gemm_.multiply_a_bt(dz, w, dx);
}

void CpuBackend::dropout(StreamId /*stream*/, ConstMatrix x, double rate, const DropoutKey& key,
                         Matrix y) {
  cpu::dropout(x, rate, key, y);
}

void CpuBackend::layer_norm_forward(StreamId /*stream*/, ConstMatrix x, ConstMatrix gain,
                                    ConstMatrix bias, double epsilon, Matrix mean,
                                    Matrix inverse_std, Matrix y) {
  cpu::layer_norm_forward(x, gain, bias, epsilon, mean, inverse_std, y);
}

void CpuBackend::layer_norm_backward(StreamId /*stream*/, ConstMatrix x, ConstMatrix gain,
                                     ConstMatrix mean, ConstMatrix inverse_std, ConstMatrix dy,
                                     Matrix dgain, Matrix dbias, Matrix dx) {
  if (!dgain.empty()) layer_norm_parameter_gradient(x, mean, inverse_std, dy, dgain, dbias);
  if (!dx.empty()) layer_norm_input_gradient(x, gain, mean, inverse_std, dy, dx);
}

void CpuBackend::segment_sum(StreamId /*stream*/, ConstMatrix x, ConstIndices rows,
                             ConstIndices starts, ConstMatrix scales, Matrix y) {
  cpu::segment_sum(x, rows, starts, scales, y);
}

void CpuBackend::dot_interaction_forward(StreamId /*stream*/, ConstMatrix x, uint32_t vectors,
                                         Matrix y) {
  cpu::dot_interaction_forward(x, vectors, y);
}

void CpuBackend::dot_interaction_backward(StreamId /*stream*/, ConstMatrix x, uint32_t vectors,
                                          ConstMatrix dy, Matrix dx) {
  cpu::dot_interaction_backward(x, vectors, dy, dx);
}

void CpuBackend::loss(StreamId /*stream*/, LossKind kind, ConstMatrix z, ConstMatrix labels,
                      ConstMatrix weights, Matrix row_loss, Matrix row_correct, Matrix dz) {
  cpu::loss(kind, z, labels, weights, row_loss, row_correct, dz);
}

void CpuBackend::predict(StreamId /*stream*/, LossKind kind, ConstMatrix z, Matrix y) {
  cpu::predict(kind, z, y);
}

void CpuBackend::add(StreamId /*stream*/, ConstMatrix x, Matrix into) {
  add_to(x, into);
}

void CpuBackend::update(StreamId /*stream*/, const OptimizerConfig& config, const UpdateArgs& args,
                        ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) {
  cpu::update(config, args, gradient, weights, state);
}

void CpuBackend::difference(StreamId /*stream*/, ConstMatrix now, ConstMatrix before, float factor,
                            Matrix changes) {
  cpu::difference(now, before, factor, changes);
}

void CpuBackend::copy(StreamId /*stream*/, ConstMatrix from, Matrix to) {
  BALLAST_CHECK(from.size() == to.size());
  if (to.size() > 0) std::memcpy(to.device_data, from.device_data, to.size() * sizeof(float));
}

void CpuBackend::clear(StreamId /*stream*/, Matrix values) {
  if (values.size() > 0) std::memset(values.device_data, 0, values.size() * sizeof(float));
}

void CpuBackend::find_non_finite(StreamId /*stream*/, ConstMatrix values, Matrix found) {
  BALLAST_CHECK(found.size() == 1);
  found.device_data[0] = has_non_finite(values) ? 1.0f : 0.0f;
}

}  // namespace ballast::cpu
