// Question: what does a device do of what it can? The products of a dense layer in operations a
// second, every other kernel in bytes a second, and whole steps in samples a second: forward, loss
// and backward, the gradients left where they are (the sums of local steps) and brought to the
// host; and local steps of Adam, whose gradients stay, with a delta to the host after every eighth
// and without. What a kernel is held against is the fastest copy of the same run (`add`, three
// bytes moved for each added; Adam moves seven); of kernels of tables every row that is read
// counts, also one read before. Results are compared with the CPU's first: of a product, sums of
// rows and interactions in double precision for some elements, of an update bit by bit, of a step
// with a CPU back end on some rows. bench/gpu/run holds the steps against PyTorch's.
//
//   device_bench [--device cpu|cuda] [--precision fp32|tf32|bf16] [--smoke]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "bench/micro/alternate.h"
#include "bench/micro/relu_mlp.h"
#include "bench/micro/table_batch.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/compute/backend.h"
#include "common/config/choices.h"
#include "worker/local_optimizer.h"
#include "worker/train_step.h"

namespace ballast::bench {
namespace {

using Floats = std::vector<float>;

struct Mlp {
  std::string name;
  std::vector<uint32_t> widths;
  uint32_t batch;
};

struct Sizes {
  int rounds = 5;
  double seconds = 0.05;  // of one measurement, about
  uint32_t rows = 4096;
  uint32_t width = 8192;
  uint32_t table_rows = 16384;  // so that what is read fits no cache (H100: 50 MB)
  uint32_t fields = 26;         // with a table each; and one vector of what else there is
  std::vector<Mlp> mlps = {{"large", {4096, 8192, 8192, 8192, 1000}, 4096},
                           {"small", {784, 512, 256, 10}, 256}};
};

// How far a value may be off where factors are rounded by `rounding` and sums of `terms` products
// of size about 1 are float32.
double tolerance(Precision precision, double terms) {
  const double rounding = precision == Precision::kBf16   ? 0x1p-9
                          : precision == Precision::kTf32 ? 0x1p-11
                                                          : 0;
  return 1e-6 * (std::sqrt(terms) + 8) * 8 + 16 * rounding * std::sqrt(terms);
}

class DeviceBench {
 public:
  DeviceBench(Device device, Precision precision, const Sizes& sizes)
      : device_(device),
        precision_(precision),
        sizes_(sizes),
        backend_(open(device, {.precision = precision})) {
    stream_ = backend_->create_stream();
    fmt::print("{}\n", backend_->description());
  }

  void products() {
    const uint32_t n = sizes_.rows, k = sizes_.width, m = sizes_.width;
    const Floats host_x = random_floats(size_t{n} * k, 1), host_w = random_floats(size_t{k} * m, 2);
    const Matrix x = put(host_x, n, k), w = put(host_w, k, m), y = room(n, m), dw = room(k, m),
                 dx = room(n, k), dbias = room(1, m), bias = put(Floats(m, 0.5f), 1, m);
    backend_->dense_forward(stream_, x, w, bias, Activation::kNone, Matrix(), y);
    verify_product(host_x, host_w, y, k);
    const double operations = 2.0 * n * k * m;
    const std::string shape = fmt::format("{} x {} x {}", n, k, m);
    rate("forward, " + shape, operations, "TFLOP/s", 1e-12,
         [&] { backend_->dense_forward(stream_, x, w, bias, Activation::kRelu, Matrix(), y); });
    rate("weight gradient, " + shape, operations, "TFLOP/s", 1e-12,
         [&] { backend_->dense_gradient(stream_, x, y, dw, dbias); });
    rate("input gradient, " + shape, operations, "TFLOP/s", 1e-12,
         [&] { backend_->dense_input_gradient(stream_, y, w, dx); });
  }

  void kernels() {
    const uint32_t n = sizes_.rows, d = sizes_.width;
    const size_t count = size_t{n} * d;
    const double bytes = static_cast<double>(count) * sizeof(float);
    const Floats host = random_floats(count, 3);
    const Matrix x = put(host, n, d), y = put(host, n, d), z = room(n, d);
    const Matrix gain = put(Floats(d, 1.0f), 1, d), bias = put(Floats(d, 0.0f), 1, d);
    const Matrix mean = room(1, n), inverse_std = room(1, n), dgain = room(1, d),
                 dbias = room(1, d), found = room(1, 1);
    const DropoutKey key{1, 2, 3, 4};
    const auto moves = [&](const char* name, double times, const std::function<void()>& work) {
      rate(name, times * bytes, "GB/s", 1e-9, work);
    };
    moves("add", 3, [&] { backend_->add(stream_, x, z); });
    updates(x, z, moves);
    moves("derivative of relu", 3,
          [&] { backend_->activation_backward(stream_, Activation::kRelu, Matrix(), x, y, z); });
    moves("derivative of gelu", 3,
          [&] { backend_->activation_backward(stream_, Activation::kGelu, x, Matrix(), y, z); });
    moves("dropout", 2, [&] { backend_->dropout(stream_, x, 0.1, key, z); });
    moves("layer norm, forward", 2, [&] {
      backend_->layer_norm_forward(stream_, x, gain, bias, 1e-5, mean, inverse_std, z);
    });
    moves("layer norm, input gradient", 3, [&] {
      backend_->layer_norm_backward(stream_, x, gain, mean, inverse_std, y, Matrix(), Matrix(), z);
    });
    moves("layer norm, parameter gradient", 2, [&] {
      backend_->layer_norm_backward(stream_, x, gain, mean, inverse_std, y, dgain, dbias, Matrix());
    });
    const Matrix labels = put(Floats(n, 1.0f), n, 1), row_loss = room(1, n), correct = room(1, n);
    moves("softmax cross-entropy", 2, [&] {
      backend_->loss(stream_, LossKind::kSoftmaxCrossEntropy, x, labels, Matrix(), row_loss,
                     correct, z);
    });
    moves("check for NaN", 1, [&] { backend_->find_non_finite(stream_, x, found); });
    Buffer memory = backend_->allocate_host(count * sizeof(float));
    for (const StoredType type : {StoredType::kU8, StoredType::kF16}) {
      const StoredMatrix stored = put_zeros(type, n, d);
      moves(type == StoredType::kU8 ? "floats of u8" : "floats of f16",
            1 + static_cast<double>(bytes_of(type)) / sizeof(float),
            [&, stored] { backend_->convert(stream_, stored, bias, gain, bias, z); });
    }
    moves("upload", 1, [&] { backend_->upload(stream_, memory.floats(), z); });
    moves("download", 1, [&] { backend_->download(stream_, z, memory.floats()); });
  }

  // The widths of rows that models of click data have: DLRM's, and small ones.
  void tables() {
    const TableBatch batch(sizes_.table_rows, sizes_.fields);
    fmt::print("tables: {} items of {} rows, the first of which has {} of them\n", batch.bags,
               batch.distinct, batch.starts_by_row[1]);
    for (const uint32_t d : {128u, 16u}) {
      sums(fmt::format("sums of rows of {}, forward", d), d, batch.distinct, batch.rows,
           batch.starts);
      sums(fmt::format("sums of rows of {}, gradient", d), d, batch.bags, batch.bags_by_row,
           batch.starts_by_row);
      interaction(d);
    }
  }

  void steps() {
    for (const Mlp& mlp : sizes_.mlps) steps(mlp, *backend_, "");
    if (!backend_->has_graphs()) return;
    const auto without = open(device_, {.precision = precision_, .graphs = false});
    steps(sizes_.mlps.back(), *without, ", one by one");
  }

 private:
  static std::unique_ptr<Backend> open(Device device, const BackendOptions& options) {
    auto backend = make_backend(device, options);
    BALLAST_CHECK_MSG(backend.ok(), backend.status().to_string());
    return std::move(backend).value();
  }

  static Floats random_floats(size_t count, uint64_t seed) {
    Floats values(count);
    for (size_t i = 0; i < count; ++i) {
      values[i] = 2 * unit_float(hash_numbers({seed, i})) - 1;
    }
    return values;
  }

  Matrix room(uint32_t rows, uint32_t columns) {
    auto memory = backend_->allocate(size_t{rows} * columns);
    BALLAST_CHECK_MSG(memory.ok(), memory.status().to_string());
    memory_.push_back(std::move(memory).value());
    return memory_.back().matrix(rows, columns);
  }

  Indices put(const std::vector<uint32_t>& numbers) {
    room(1, static_cast<uint32_t>(numbers.size()));
    const Indices indices = memory_.back().indices(numbers.size());
    backend_->upload(stream_, numbers, indices);
    settle();
    return indices;
  }

  Matrix put(const Floats& values, uint32_t rows, uint32_t columns) {
    const Matrix matrix = room(rows, columns);
    backend_->upload(stream_, values, matrix);
    settle();
    return matrix;
  }

  // On 0 as on anything else it works as long.
  StoredMatrix put_zeros(StoredType type, uint32_t rows, uint32_t columns) {
    auto memory = backend_->allocate((size_t{rows} * columns * bytes_of(type) + 3) / 4);
    BALLAST_CHECK_MSG(memory.ok(), memory.status().to_string());
    memory_.push_back(std::move(memory).value());
    return memory_.back().stored(type, rows, columns);
  }

  void settle() {
    const Status status = backend_->synchronize(stream_);
    BALLAST_CHECK_MSG(status.ok(), status.to_string());
  }

  using Moves = std::function<void(const char*, double, const std::function<void()>&)>;

  // Bytes: Adam reads w, g, m, v and writes w, m, v; SGD reads w, g and writes w.
  void updates(Matrix gradient, Matrix weights, const Moves& moves) {
    const OptimizerConfig adam{.kind = OptimizerKind::kAdam}, sgd{};
    const std::vector<Matrix> state = {room(gradient.rows, gradient.columns),
                                       room(gradient.rows, gradient.columns)};
    backend_->copy(stream_, gradient, weights);
    backend_->update(stream_, adam, kUpdate, gradient, weights, state);
    verify_update(adam, gradient, weights);
    moves("optimizer step of adam", 7,
          [&] { backend_->update(stream_, adam, kUpdate, gradient, weights, state); });
    moves("optimizer step of sgd", 3,
          [&] { backend_->update(stream_, sgd, kUpdate, gradient, weights, {}); });
    moves("change of weights", 3,
          [&] { backend_->difference(stream_, gradient, weights, 3.0f, state[0]); });
    moves("copy on the device", 2, [&] { backend_->copy(stream_, gradient, weights); });
  }

  // `updated` were as the gradient is.
  void verify_update(const OptimizerConfig& config, Matrix gradient, Matrix updated) {
    const auto cpu = open(Device::kCpu, {});
    const auto size = static_cast<uint32_t>(std::min<size_t>(gradient.size(), 4096));
    Floats g(size), w(size), m(size), v(size), found(size);
    backend_->download(stream_, {gradient.device_data, 1, size}, g);
    backend_->download(stream_, {updated.device_data, 1, size}, found);
    settle();
    w = g;
    const Matrix state[] = {{m.data(), 1, size}, {v.data(), 1, size}};
    cpu->update(cpu->create_stream(), config, kUpdate, {g.data(), 1, size}, {w.data(), 1, size},
                state);
    BALLAST_CHECK_MSG(found == w, "an update on the device has other bits than the CPU's");
  }

  // Elements spread over y = x w + 0.5 against sums in double precision.
  void verify_product(const Floats& x, const Floats& w, Matrix y, uint32_t k) {
    Floats found(y.size());
    backend_->download(stream_, y, found);
    settle();
    for (uint64_t i = 0; i < 64; ++i) {
      const size_t at = hash_numbers({7, i}) % found.size();
      const size_t row = at / y.columns, column = at % y.columns;
      double expected = 0.5;
      for (uint32_t j = 0; j < k; ++j) {
        expected += double{x[row * k + j]} * w[size_t{j} * y.columns + column];
      }
      BALLAST_CHECK_MSG(std::abs(found[at] - expected) <= tolerance(precision_, k),
                        fmt::format("element {}: {} expected, {} found", at, expected, found[at]));
    }
  }

  // expected(element) for elements spread over a result; terms: of the sum that an element is.
  void verify(Matrix result, double terms, const std::function<double(size_t)>& expected) {
    Floats found(result.size());
    backend_->download(stream_, result, found);
    settle();
    for (uint64_t i = 0; i < 64; ++i) {
      const size_t at = i == 0 ? 0 : hash_numbers({8, i}) % found.size();
      const double right = expected(at);
      BALLAST_CHECK_MSG(std::abs(found[at] - right) <= tolerance(Precision::kFp32, terms),
                        fmt::format("element {}: {} expected, {} found", at, right, found[at]));
    }
  }

  void sums(const std::string& name, uint32_t d, uint32_t x_rows,
            const std::vector<uint32_t>& host_rows, const std::vector<uint32_t>& host_starts) {
    const auto segments = static_cast<uint32_t>(host_starts.size() - 1);
    const Floats host_x = random_floats(size_t{x_rows} * d, 9);
    const Matrix x = put(host_x, x_rows, d), y = room(segments, d);
    const Indices rows = put(host_rows), starts = put(host_starts);
    const auto work = [&] { backend_->segment_sum(stream_, x, rows, starts, {}, y); };
    work();
    verify(y, sizes_.table_rows, [&](size_t at) {
      double sum = 0;
      for (uint32_t k = host_starts[at / d]; k < host_starts[at / d + 1]; ++k) {
        sum += host_x[size_t{host_rows[k]} * d + at % d];
      }
      return sum;
    });
    const size_t words = host_rows.size() * (d + 1) + y.size() + host_starts.size();
    rate(name, 4.0 * static_cast<double>(words), "GB/s", 1e-9, work);
  }

  void interaction(uint32_t d) {
    const uint32_t n = sizes_.table_rows, vectors = sizes_.fields + 1;
    const uint32_t pairs = vectors * (vectors - 1) / 2;
    const Floats host_x = random_floats(size_t{n} * vectors * d, 10);
    const Matrix x = put(host_x, n, vectors * d), y = room(n, pairs), dx = room(n, vectors * d);
    backend_->dot_interaction_forward(stream_, x, vectors, y);
    verify(y, d, [&](size_t at) {
      uint32_t i = 1;
      for (; i * (i + 1) / 2 <= at % pairs; ++i) {
      }
      const float* a = &host_x[(at / pairs * vectors + i) * d];
      const float* b = &host_x[(at / pairs * vectors + at % pairs - i * (i - 1) / 2) * d];
      return std::inner_product(a, a + d, b, 0.0);
    });
    const Floats host_dy = random_floats(y.size(), 11);
    const Matrix dy = put(host_dy, n, pairs);
    backend_->dot_interaction_backward(stream_, x, vectors, dy, dx);
    verify(dx, vectors, [&](size_t at) {
      const size_t row = at / dx.columns, i = at % dx.columns / d;
      double sum = 0;
      for (size_t j = 0; j < vectors; ++j) {
        if (j == i) continue;
        const size_t pair = i > j ? i * (i - 1) / 2 + j : j * (j - 1) / 2 + i;
        sum += double{host_dy[row * pairs + pair]} * host_x[(row * vectors + j) * d + at % d];
      }
      return sum;
    });
    const std::string shape = fmt::format("{} vectors of {}", vectors, d);
    const double bytes = 4.0 * static_cast<double>(x.size()), pair_bytes = 4.0 * n * pairs;
    rate("dot interaction, forward, " + shape, bytes + pair_bytes, "GB/s", 1e-9,
         [&] { backend_->dot_interaction_forward(stream_, x, vectors, y); });
    rate("dot interaction, gradient, " + shape, 2 * bytes + pair_bytes, "GB/s", 1e-9,
         [&] { backend_->dot_interaction_backward(stream_, x, vectors, dy, dx); });
  }

  // Times `work`, repeated so often that starting it does not count.
  double rate(const std::string& name, double amount, const char* unit, double scale,
              const std::function<void()>& work) {
    const auto repeat = [&](int times) {
      for (int i = 0; i < times; ++i) work();
      settle();
    };
    repeat(1);
    const Time start = monotonic_now();
    repeat(1);
    const double once = std::max(1e-7, to_seconds(monotonic_now() - start));
    const int times = std::max(1, static_cast<int>(sizes_.seconds / once));
    const Timing timing = alternate({{name, [&] { repeat(times); }}}, sizes_.rounds).front();
    const double value = amount * times / timing.median_seconds * scale;
    fmt::print("{:<52} {:>14.3f} {:<12} MAD {:.1f} %\n", name, value, unit,
               timing.mad_seconds / timing.median_seconds * 100);
    return value;
  }

  static std::unique_ptr<TrainStep> step_of(const Mlp& mlp, Backend& backend) {
    auto step = TrainStep::create(relu_mlp(mlp.widths), mlp.widths.front(), 1, mlp.batch, backend,
                                  /*sums_batches=*/true);
    BALLAST_CHECK_MSG(step.ok(), step.status().to_string());
    for (uint32_t p = 0; p < (*step)->parameters().size(); ++p) {
      fill_initial((*step)->parameters()[p], p, 1, 0, (*step)->weights(p));
    }
    return std::move(step).value();
  }

  // `how`: beside the name of what is measured.
  void steps(const Mlp& mlp, Backend& backend, const std::string& how) {
    const std::unique_ptr<TrainStep> step = step_of(mlp, backend);
    const size_t features = size_t{mlp.batch} * mlp.widths.front();
    Buffer x = step->allocate_host(features * sizeof(float));
    Buffer labels = step->allocate_host(mlp.batch * sizeof(float));
    for (size_t i = 0; i < features; ++i) x.floats()[i] = unit_float(hash_numbers({5, i}));
    for (uint32_t i = 0; i < mlp.batch; ++i) {
      labels.floats()[i] = static_cast<float>(hash_numbers({6, i}) % mlp.widths.back());
    }
    GradientSet gradients;
    for (const ParameterSpec& parameter : step->parameters()) {
      gradients.parameters.push_back(
          step->allocate_host(parameter.element_count() * sizeof(float)));
    }
    const auto rows = [&](uint32_t count) {
      return StepRows{x.floats().first(size_t{count} * mlp.widths.front()),
                      labels.floats().first(count),
                      {},
                      count};
    };
    verify_loss(mlp, *step, rows(std::min(mlp.batch, 32u)));
    const auto run = [&](bool last) {
      StepContext context;
      context.first = true;
      context.last = last;
      const auto result = step->run(rows(mlp.batch), context, gradients);
      BALLAST_CHECK_MSG(result.ok(), result.status().to_string());
    };
    const std::string what = fmt::format("step of {} MLP{}", mlp.name, how);
    rate(what + ", gradients stay", mlp.batch, "samples/s", 1, [&] { run(false); });
    rate(what + ", gradients to the host", mlp.batch, "samples/s", 1, [&] { run(true); });
    local_steps(what, *step, rows(mlp.batch), gradients);
  }

  // The learning rate changes nothing of the work; 0, so that the weights stay in range.
  void local_steps(const std::string& what, TrainStep& step, const StepRows& rows,
                   GradientSet& delta) {
    const Status taken = step.local().allocate({.kind = OptimizerKind::kAdam});
    BALLAST_CHECK_MSG(taken.ok(), taken.to_string());
    StepContext context;
    context.local_rate = 0;
    const auto run = [&] {
      const auto result = step.run(rows, context, delta);
      BALLAST_CHECK_MSG(result.ok(), result.status().to_string());
    };
    const auto finish = [&] { BALLAST_CHECK(step.local().finish(1, delta).ok()); };
    verify_local_step(step, rows, delta);
    rate(what + ", local steps", rows.rows, "samples/s", 1, run);
    finish();
    rate(what + ", local steps, delta after 8", 8.0 * rows.rows, "samples/s", 1, [&] {
      for (int i = 0; i < 8; ++i) run();
      finish();
    });
  }

  // The first step of adam changes a weight by the rate, toward less loss, and the weights are as
  // they were afterwards.
  void verify_local_step(TrainStep& step, const StepRows& rows, GradientSet& delta) {
    constexpr double kRate = 1e-3;
    StepContext context;
    context.local_rate = kRate;
    const double before = step.run(rows, context, delta).value().loss_sum;
    BALLAST_CHECK(step.run(rows, context, delta).value().loss_sum < before);
    BALLAST_CHECK(step.local().finish(1, delta).ok());
    BALLAST_CHECK(step.evaluate(rows).value().loss_sum == before);
    double most = 0;
    for (const Buffer& parameter : delta.parameters) {
      for (float change : parameter.floats()) most = std::max(most, std::abs(double{change}));
    }
    BALLAST_CHECK_MSG(most > kRate && most < 3 * kRate, fmt::format("changes up to {}", most));
  }

  void verify_loss(const Mlp& mlp, TrainStep& step, const StepRows& rows) {
    const auto cpu = open(Device::kCpu, {});
    const auto reference = step_of(mlp, *cpu);
    const double expected = reference->evaluate(rows).value().loss_sum / rows.rows;
    const double found = step.evaluate(rows).value().loss_sum / rows.rows;
    BALLAST_CHECK_MSG(std::abs(found - expected) <= tolerance(precision_, 64) * (1 + expected),
                      fmt::format("loss {} expected, {} found", expected, found));
    fmt::print("{} MLP: loss {:.6f}, on the CPU {:.6f}\n", mlp.name, found, expected);
  }

  static constexpr UpdateArgs kUpdate{.weight_sum = 2, .updates = 1, .learning_rate = 1e-3};

  const Device device_;
  const Precision precision_;
  const Sizes sizes_;
  std::unique_ptr<Backend> backend_;
  StreamId stream_;
  std::vector<DeviceBuffer> memory_;
};

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  using namespace ballast;
  CLI::App app{"what a device does of what it can"};
  std::string device = "cpu", precision = "fp32";
  bool smoke = false;
  app.add_option("--device", device)->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--precision", precision)->check(CLI::IsMember({"fp32", "tf32", "bf16"}));
  app.add_flag("--smoke", smoke);
  CLI11_PARSE(app, argc, argv);
  bench::Sizes sizes;
  if (smoke) {
    sizes = {.rounds = 1,
             .seconds = 1e-4,
             .rows = 16,
             .width = 32,
             .table_rows = 16,
             .fields = 5,
             .mlps = {{"tiny", {20, 16, 8, 4}, 16}}};
  }
  const Device chosen = device == "cuda" ? Device::kCuda : Device::kCpu;
  if (const Status there = check_device(chosen); !there.ok()) {
    std::fprintf(stderr, "device_bench: %s\n", there.to_string().c_str());
    return 2;
  }
  const Precision rounded = precision == "bf16"   ? Precision::kBf16
                            : precision == "tf32" ? Precision::kTf32
                                                  : Precision::kFp32;
  bench::DeviceBench bench(chosen, rounded, sizes);
  bench.products();
  bench.kernels();
  bench.tables();
  bench.steps();
  return 0;
}
