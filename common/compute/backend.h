// Backend: door 3, dense maths on one device. Models are written once against it; cpu/ is the
// readable reference, a device of its own memory matches it within a stated tolerance.
//
// Owner thread: one, the computing thread (downloads of another thread go through its own Backend).
// Operations are put on a stream in order and return at once; the CPU does them at once. They
// cannot fail on their own: the first failure of the device is kept and returned by every later
// synchronize(). Shapes that do not fit are our bug (BALLAST_CHECK).
//
// All matrices are float32, row-major, without gaps: element (r, c) is data[r * columns + c]. A
// vector is a matrix of one row. Gradients are sums over rows, never means; outputs are overwritten
// unless an operation says "adds".
//
// Bits: the same calls with the same shapes give the same bits on the same build, kind of
// processor and options; `threads` is part of the options. Nothing depends on addresses. A row
// computed among other rows may differ in its last bits from the same row alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/stored_features.h"
#include "common/base/time.h"
#include "common/config/job_config.h"
#include "common/optimizer/update_args.h"

namespace ballast {

// A view of device memory. Never dereferenced outside the back end.
struct ConstMatrix {
  const float* device_data = nullptr;
  uint32_t rows = 0;
  uint32_t columns = 0;

  [[nodiscard]] size_t size() const { return size_t{rows} * columns; }
  [[nodiscard]] bool empty() const { return device_data == nullptr; }
};
struct Matrix {
  float* device_data = nullptr;
  uint32_t rows = 0;
  uint32_t columns = 0;

  [[nodiscard]] size_t size() const { return size_t{rows} * columns; }
  [[nodiscard]] bool empty() const { return device_data == nullptr; }
  operator ConstMatrix() const { return {device_data, rows, columns}; }  // NOLINT: on purpose
};

// Values of a data set on the device, row-major, without gaps.
struct StoredMatrix {
  std::byte* device_data = nullptr;
  StoredType type = StoredType::kU8;
  uint32_t rows = 0;
  uint32_t columns = 0;

  [[nodiscard]] size_t size() const { return size_t{rows} * columns; }
  [[nodiscard]] size_t bytes() const { return size() * bytes_of(type); }
};

// Whole numbers in device memory: which rows of a matrix, or where in a list. The device takes them
// as they are: one that is too large reads what is not the caller's.
struct ConstIndices {
  const uint32_t* device_data = nullptr;
  size_t count = 0;
};
struct Indices {
  uint32_t* device_data = nullptr;
  size_t count = 0;

  operator ConstIndices() const { return {device_data, count}; }  // NOLINT: on purpose
};

// Owns device memory; moves only. Freed when dropped, after what was put on streams before.
class DeviceBuffer {
 public:
  using Free = std::function<void(float*)>;
  DeviceBuffer() = default;
  DeviceBuffer(float* device_data, size_t floats, Free free)
      : device_data_(device_data, std::move(free)), floats_(floats) {}

  [[nodiscard]] size_t floats() const { return floats_; }
  // rows x columns floats from the start.
  [[nodiscard]] Matrix matrix(uint32_t rows, uint32_t columns) const;
  // Likewise, in ceil(bytes / 4) floats.
  [[nodiscard]] StoredMatrix stored(StoredType type, uint32_t rows, uint32_t columns) const;
  // The same memory as numbers, each in the place of a float.
  [[nodiscard]] Indices indices(size_t count) const;

 private:
  std::unique_ptr<float, Free> device_data_;
  size_t floats_ = 0;
};

// Of one segment_sum(): so many that what a device keeps beside it has a fixed size.
inline constexpr size_t kSegmentItemsMax = size_t{1} << 26;

using StreamId = Id<struct StreamTag>;
using EventId = Id<struct EventTag>;
using GraphId = Id<struct GraphTag>;

// What the mask of a dropout layer may depend on: nothing else, so that whoever owns the lane
// drops the same values. The key of the forward pass is that of the backward pass.
struct DropoutKey {
  uint64_t seed = 0;   // of the job
  uint64_t batch = 0;  // from 0, counted over all epochs
  uint32_t lane = 0;
  uint32_t layer = 0;  // index of [[layer]], counting those without parameters
  bool operator==(const DropoutKey&) const = default;
};

struct BackendOptions {
  uint32_t threads = 1;  // cpu: threads of one matrix product
  // cuda: what the factors of matrix products are rounded to, and no sum.
  Precision precision = Precision::kFp32;
  uint32_t worker = 0;   // cuda: computes on GPU worker mod devices
  uint32_t devices = 0;  // cuda: 0: all that are visible
  double memory = 1;     // cuda: the most it takes of the GPU's
  bool graphs = true;    // cuda: has_graphs(); false: for benches
};
[[nodiscard]] BackendOptions backend_options(const JobConfig& job, uint32_t worker);

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // "cpu: x86-64-v4, 8 x 32 tiles of 16-float vectors, 1 thread": for logs.
  [[nodiscard]] virtual std::string description() const = 0;
  // What bits depend on, beside BackendOptions::precision: where it is another, so may they be.
  [[nodiscard]] virtual std::string arithmetic() const = 0;

  // --- memory ---
  // kExhausted: the device has not that much left, or BackendOptions::memory is used up. Contents:
  // zero.
  [[nodiscard]] virtual Result<DeviceBuffer> allocate(size_t floats) = 0;
  // Host memory that copies fast to and from this device (pinned, where that means something). Any
  // thread; it may outlive the back end.
  [[nodiscard]] virtual Buffer allocate_host(size_t bytes) = 0;
  // The device's address of host memory where the device computes on host memory (the CPU), so that
  // weights and gradients need no copy; nullptr where it does not, and the caller uploads.
  [[nodiscard]] virtual float* device_address(float* host_data) = 0;
  // to = host_from. The host memory must stay until the stream has passed.
  virtual void upload(StreamId stream, std::span<const float> host_from, Matrix to) = 0;
  virtual void upload(StreamId stream, std::span<const std::byte> host_from, StoredMatrix to) = 0;
  virtual void upload(StreamId stream, std::span<const uint32_t> host_from, Indices to) = 0;
  virtual void download(StreamId stream, ConstMatrix from, std::span<float> host_to) = 0;

  // --- streams and events ---
  [[nodiscard]] virtual StreamId create_stream() = 0;
  [[nodiscard]] virtual EventId create_event() = 0;
  // The event happens when all that is on the stream by now is done.
  virtual void record(EventId event, StreamId stream) = 0;
  // What is put on the stream from now on starts after the event's last record.
  virtual void wait(StreamId stream, EventId event) = 0;
  // Whether the last record has happened; true when never recorded.
  [[nodiscard]] virtual bool happened(EventId event) = 0;
  // Blocks the caller. kUnavailable, kExhausted: the device failed; its message.
  [[nodiscard]] virtual Status synchronize(EventId event) = 0;
  [[nodiscard]] virtual Status synchronize(StreamId stream) = 0;
  // An event that also keeps when it happened, which costs the device more than the others.
  [[nodiscard]] virtual EventId create_timed_event() = 0;
  // By the device's clock, from the last record of one timed event to the last of another, which
  // was recorded after it. Both have happened. Zero once the device has failed.
  [[nodiscard]] virtual Duration between(EventId from, EventId to) = 0;

  // --- graphs: what is put on a stream again and again, by one call ---
  // A back end that has none is asked for nothing else here.
  [[nodiscard]] virtual bool has_graphs() const { return false; }
  // What is put on the stream from here to end_graph() is kept and not done. Only operations, no
  // copies and events, that were put on this stream before with the same shapes. None on others.
  // False: it cannot, and nothing is kept. A graph lasts as long as the back end; the memory that
  // it names must, as long as it is launched.
  [[nodiscard]] virtual bool begin_graph(StreamId /*stream*/) { return false; }
  // Nothing: the device could not; what was kept is dropped.
  [[nodiscard]] virtual std::optional<GraphId> end_graph(StreamId /*stream*/) { return {}; }
  // Puts on the stream, which is the one it was kept of, what was kept: the same operations on the
  // same memory.
  virtual void launch(StreamId /*stream*/, GraphId /*graph*/) {}

  // --- the device's own profiler; nothing where it has none ---
  // Ranges nest. `name` is a literal; `number` is shown beside it: a layer, a step.
  virtual void begin_range(const char* name, uint64_t number) = 0;
  virtual void end_range() = 0;

  // --- features as they are stored (common/base/stored_features.h) ---
  // y[n, d] = (float(x[n, d]) - center) * factor + shift, each step rounded: the same bits on every
  // device. center, factor and shift are [1, d], or [1, 1]: one for all columns, or all three
  // empty: y = float(x).
  virtual void convert(StreamId stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
                       ConstMatrix shift, Matrix y) = 0;

  // --- dense layer ---
  // y[n, out] = act(z), z[n, out] = x[n, in] w[in, out] + bias[1, out] on every row. `bias` may be
  // empty. z is kept only where the activation's derivative needs it (needs_input()), and may be
  // empty otherwise.
  virtual void dense_forward(StreamId stream, ConstMatrix x, ConstMatrix w, ConstMatrix bias,
                             Activation activation, Matrix z, Matrix y) = 0;
  // dz[n, out] = dy[n, out] * act'(z), from z or y as above. dz may be dy.
  virtual void activation_backward(StreamId stream, Activation activation, ConstMatrix z,
                                   ConstMatrix y, ConstMatrix dy, Matrix dz) = 0;
  // dw[in, out] = x[n, in]^T dz[n, out];  dbias[1, out] = column sums of dz, or empty.
  virtual void dense_gradient(StreamId stream, ConstMatrix x, ConstMatrix dz, Matrix dw,
                              Matrix dbias) = 0;
  // dx[n, in] = dz[n, out] w[in, out]^T
  virtual void dense_input_gradient(StreamId stream, ConstMatrix dz, ConstMatrix w, Matrix dx) = 0;

  // --- dropout (Srivastava et al., JMLR 2014; inverted: scaled while training) ---
  // y[r, c] = keep(key, r, c) ? x[r, c] / (1 - rate) : 0. Its own backward, with dy for x. y may be
  // x. rate in [0, 1).
  virtual void dropout(StreamId stream, ConstMatrix x, double rate, const DropoutKey& key,
                       Matrix y) = 0;

  // --- layer norm (Ba et al., 2016), over the columns of each row ---
  // y[n, d] = (x - mean) * inverse_std * gain[1, d] + bias[1, d];  mean[1, n] and inverse_std[1, n]
  // = 1 / sqrt(variance + epsilon) are kept for the backward pass.
  virtual void layer_norm_forward(StreamId stream, ConstMatrix x, ConstMatrix gain,
                                  ConstMatrix bias, double epsilon, Matrix mean, Matrix inverse_std,
                                  Matrix y) = 0;
  // dgain[1, d], dbias[1, d]: sums over rows, or both empty (not needed). dx[n, d] may be dy, or
  // empty (not needed).
  virtual void layer_norm_backward(StreamId stream, ConstMatrix x, ConstMatrix gain,
                                   ConstMatrix mean, ConstMatrix inverse_std, ConstMatrix dy,
                                   Matrix dgain, Matrix dbias, Matrix dx) = 0;

  // --- tables and what is made of their rows (DLRM: Naumov et al., 2019) ---
  // y[segments, d]: y[s] = sum of scales[k] * x[rows[k], :] over the items k in
  // [starts[s], starts[s + 1]); zeros where there are none. starts has segments + 1 numbers.
  // scales[1, items], or empty: all 1, with the same bits. At most kSegmentItemsMax items. y
  // overlaps nothing.
  // Bags of a table: x = the batch's distinct rows, rows = which of them an item is, starts = where
  // bags begin; y[n * fields, d] is also [n, fields * d]. Their gradient: x = dy[bags, d], rows and
  // starts turned round (common/compute/segments.h), y = the gradient of each distinct row.
  // Not checked, the caller's to see to: rows[k] < x.rows; starts begins with 0, never falls and
  // ends with the number of items.
  // Bits: a segment's follow from its items and d alone, whatever the other segments are.
  // A device may take memory at the first call on a stream that has many items; where it has none,
  // synchronize() returns kExhausted. Before a graph is begun there was one of as many items.
  virtual void segment_sum(StreamId stream, ConstMatrix x, ConstIndices rows, ConstIndices starts,
                           ConstMatrix scales, Matrix y) = 0;
  // x[n, vectors * d]: on each row, `vectors` vectors of d floats. y[n, vectors (vectors - 1) / 2]:
  // the dot product of vectors i and j, j < i, is at i (i - 1) / 2 + j.
  virtual void dot_interaction_forward(StreamId stream, ConstMatrix x, uint32_t vectors,
                                       Matrix y) = 0;
  // dx[n, vectors * d]: of vector i, the sum over all j but i of dy of the pair * vector j. Where a
  // value of x is not finite, its own dx may be NaN.
  virtual void dot_interaction_backward(StreamId stream, ConstMatrix x, uint32_t vectors,
                                        ConstMatrix dy, Matrix dx) = 0;

  // --- losses ---
  // From outputs z[n, units] and labels[n, label_width], per row: row_loss[1, n], row_correct[1, n]
  // (how many of the row's labels are predicted right; 0 for mean squared error), and dz[n, units],
  // the derivative of the sum of weights[r] * row_loss[r], or empty (evaluation). dz may be z.
  // weights[1, n], finite and >= 0, or empty: all 1, with the same bits. They do not enter row_loss
  // and row_correct. A row of weight 0 has dz = 0, also where its loss is not finite.
  // softmax_cross_entropy: label_width 1, a class id in [0, units), checked by the caller;
  //   loss = log(sum_j exp(z_j)) - z_label; right when z_label is the first largest.
  // sigmoid_cross_entropy: label_width = units, labels 0 or 1; loss = mean over the columns of
  //   log(1 + exp(z)) - label * z; right when (z > 0) = label.
  // mean_squared_error: label_width = units; loss = mean over the columns of (z - label)^2.
  virtual void loss(StreamId stream, LossKind kind, ConstMatrix z, ConstMatrix labels,
                    ConstMatrix weights, Matrix row_loss, Matrix row_correct, Matrix dz) = 0;
  // What a user sees: softmax or sigmoid of z[n, units], or z itself. y may be z.
  virtual void predict(StreamId stream, LossKind kind, ConstMatrix z, Matrix y) = 0;

  // --- sums ---
  // into += x, element by element. They do not overlap.
  virtual void add(StreamId stream, ConstMatrix x, Matrix into) = 0;

  // --- optimizer steps where the weights are (common/optimizer) ---
  // One update of a parameter's weights and of the optimizer's state, in place; `gradient` is
  // summed over samples, `state` are state_count() tensors. All have the same size. The bits are
  // those of apply_update(), on every device. A graph keeps the numbers of `args` that it was made
  // with.
  virtual void update(StreamId stream, const OptimizerConfig& config, const UpdateArgs& args,
                      ConstMatrix gradient, Matrix weights, std::span<const Matrix> state) = 0;
  // changes = (now - before) * factor, element by element, each operation rounded for itself.
  virtual void difference(StreamId stream, ConstMatrix now, ConstMatrix before, float factor,
                          Matrix changes) = 0;
  // to = from. They do not overlap.
  virtual void copy(StreamId stream, ConstMatrix from, Matrix to) = 0;
  // Every value = 0.
  virtual void clear(StreamId stream, Matrix values) = 0;

  // --- checks ---
  // found[1, 1] = 1 if any value is NaN or infinite, else 0.
  virtual void find_non_finite(StreamId stream, ConstMatrix values, Matrix found) = 0;
};

// Whether an activation's derivative is taken from z (gelu) instead of y.
[[nodiscard]] inline bool needs_input(Activation activation) {
  return activation == Activation::kGelu;
}

// kInvalidInput: this build, or this machine, has no such device, or not so many (0: any); says
// what to set instead.
[[nodiscard]] Status check_device(Device device, uint32_t devices = 0);

// Errors: those of check_device.
[[nodiscard]] Result<std::unique_ptr<Backend>> make_backend(Device device,
                                                            const BackendOptions& options);

}  // namespace ballast
