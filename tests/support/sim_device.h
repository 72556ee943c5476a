// SimDevice: a device of its own memory that does what it is asked late, and in an order drawn from
// a seed: of its streams, any that is not waiting for an event may go on, at any time until the
// caller waits for it. So what code forgot to wait for shows without a GPU: the same calls give
// other bits with some seed, or the address sanitizer sees host memory that was given back. Memory
// of the device is kept to the end.
//
// The arithmetic is the CPU back end's, so that bits can be compared with it. Owner thread: one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/compute/backend.h"

namespace ballast::testing {

class SimDevice final : public Backend {
 public:
  enum class Bent {
    kNot,
    kForgetsWaits,   // a planted bug: streams never wait for events
    kRefusesGraphs,  // it has them, but begins every second one only, and ends none
  };
  explicit SimDevice(uint64_t seed, Bent bent = Bent::kNot);

  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::string arithmetic() const override { return cpu_->arithmetic(); }

  [[nodiscard]] Result<DeviceBuffer> allocate(size_t floats) override;
  [[nodiscard]] Buffer allocate_host(size_t bytes) override;
  [[nodiscard]] float* device_address(float* host_data) override;
  void upload(StreamId stream, std::span<const float> host_from, Matrix to) override;
  void upload(StreamId stream, std::span<const std::byte> host_from, StoredMatrix to) override;
  void upload(StreamId stream, std::span<const uint32_t> host_from, Indices to) override;
  void download(StreamId stream, ConstMatrix from, std::span<float> host_to) override;

  [[nodiscard]] StreamId create_stream() override;
  [[nodiscard]] EventId create_event() override;
  void record(EventId event, StreamId stream) override;
  void wait(StreamId stream, EventId event) override;
  [[nodiscard]] bool happened(EventId event) override;
  [[nodiscard]] Status synchronize(EventId event) override;
  [[nodiscard]] Status synchronize(StreamId stream) override;
  [[nodiscard]] EventId create_timed_event() override;
  [[nodiscard]] Duration between(EventId from, EventId to) override;
  [[nodiscard]] bool has_graphs() const override { return true; }
  [[nodiscard]] bool begin_graph(StreamId stream) override;
  [[nodiscard]] std::optional<GraphId> end_graph(StreamId stream) override;
  void launch(StreamId stream, GraphId graph) override;
  void begin_range(const char* /*name*/, uint64_t /*number*/) override {}
  void end_range() override {}

  void convert(StreamId stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
               ConstMatrix shift, Matrix y) override;
  void dense_forward(StreamId stream, ConstMatrix x, ConstMatrix w, ConstMatrix bias,
                     Activation activation, Matrix z, Matrix y) override;
  void activation_backward(StreamId stream, Activation activation, ConstMatrix z, ConstMatrix y,
                           ConstMatrix dy, Matrix dz) override;
  void dense_gradient(StreamId stream, ConstMatrix x, ConstMatrix dz, Matrix dw,
                      Matrix dbias) override;
  void dense_input_gradient(StreamId stream, ConstMatrix dz, ConstMatrix w, Matrix dx) override;
  void dropout(StreamId stream, ConstMatrix x, double rate, const DropoutKey& key,
               Matrix y) override;
  void layer_norm_forward(StreamId stream, ConstMatrix x, ConstMatrix gain, ConstMatrix bias,
                          double epsilon, Matrix mean, Matrix inverse_std, Matrix y) override;
  void layer_norm_backward(StreamId stream, ConstMatrix x, ConstMatrix gain, ConstMatrix mean,
                           ConstMatrix inverse_std, ConstMatrix dy, Matrix dgain, Matrix dbias,
                           Matrix dx) override;
  void segment_sum(StreamId stream, ConstMatrix x, ConstIndices rows, ConstIndices starts,
                   ConstMatrix scales, Matrix y) override;
  void dot_interaction_forward(StreamId stream, ConstMatrix x, uint32_t vectors, Matrix y) override;
  void dot_interaction_backward(StreamId stream, ConstMatrix x, uint32_t vectors, ConstMatrix dy,
                                Matrix dx) override;
  void loss(StreamId stream, LossKind kind, ConstMatrix z, ConstMatrix labels, ConstMatrix weights,
            Matrix row_loss, Matrix row_correct, Matrix dz) override;
  void predict(StreamId stream, LossKind kind, ConstMatrix z, Matrix y) override;
  void add(StreamId stream, ConstMatrix x, Matrix into) override;
  void update(StreamId stream, const OptimizerConfig& config, const UpdateArgs& args,
              ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) override;
  void difference(StreamId stream, ConstMatrix now, ConstMatrix before, float factor,
                  Matrix changes) override;
  void copy(StreamId stream, ConstMatrix from, Matrix to) override;
  void clear(StreamId stream, Matrix values) override;
  void find_non_finite(StreamId stream, ConstMatrix values, Matrix found) override;

  // The next synchronize() of an event tells a failure, at once.
  void fail_next_wait() { fails_next_wait_ = true; }
  // allocate() has no memory left after so many more.
  void refuse_memory_after(uint64_t allocations) { allocations_left_ = allocations; }
  // Whether it has done all that it was asked.
  [[nodiscard]] bool idle() const;
  // Operations that were begun on one stream while an earlier one of another stream still waited.
  [[nodiscard]] uint64_t overtaken() const { return overtaken_; }
  [[nodiscard]] uint64_t launches() const { return launches_; }

 private:
  struct Operation {
    uint64_t number = 0;  // in the order of the calls
    std::function<void()> run;
    std::function<bool()> may_run;  // empty: at once
  };
  struct Event {
    uint64_t records = 0;  // asked for
    uint64_t happened = 0;
    Time at{};
  };

  void put(StreamId stream, std::function<void()> run, std::function<bool()> may_run = {});
  // Copies and events: not while a graph is kept.
  void put_outside(StreamId stream, std::function<void()> run, std::function<bool()> may_run = {});
  bool advance();
  void advance_by_chance();
  [[nodiscard]] Event& at(EventId event) { return events_.at(event.value()); }

  Random random_;
  const Bent bent_;
  std::unique_ptr<Backend> cpu_;
  StreamId cpu_stream_;
  std::vector<std::deque<Operation>> streams_;
  std::vector<Event> events_;
  std::vector<std::shared_ptr<Buffer>> memory_;  // kept: operations on it may still wait
  std::optional<StreamId> kept_stream_;          // between begin_graph() and end_graph()
  std::vector<std::function<void()>> kept_;
  std::vector<std::vector<std::function<void()>>> graphs_;
  bool fails_next_wait_ = false;
  std::optional<uint64_t> allocations_left_;
  uint64_t launches_ = 0;
  uint64_t refusals_ = 0;
  uint64_t operations_ = 0;
  uint64_t overtaken_ = 0;
};

}  // namespace ballast::testing
