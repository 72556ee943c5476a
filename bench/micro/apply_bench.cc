// Question: does a shard's update run at the speed of memory? 64 MiB of weights in units of 1 MiB,
// one thread. Ours is what a shard runs for each push: SyncUnit and AsyncUnit, from the entry of a
// message to the answer with the new version: marks, slots, fold over the lanes, division,
// optimizer. Every round brings fresh gradients in the transport's stead, at 8 mod 64 as libzmq
// has them; that is not timed.
//
// Floors, written by hand, and the bytes they move per element:
//   y += a * x                  read y, x, write y                          12
//   y += a * (x1 + x2)          read y, x1, x2, write y                     16
//   fused Adam                  read w, g, m, v, write w, m, v              28
// The new version is written over a gradient, so ours moves as many although the old version stays
// as it is. Into memory of its own it would move 4 more, the line that is overwritten being read
// first: 0.75x at best (SGD, one lane). Results are compared with the floors' first.
// Bounds: SGD >= 0.7x of y += a * x, Adam >= 0.6x of the fused loop. Two lanes have their own
// floor; beside y += a * x they could reach 0.75x.
//
//   apply_bench [--smoke]
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "bench/micro/alternate.h"
#include "common/base/buffer.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/vectorize.h"
#include "server/shard/unit.h"

namespace ballast::bench {
namespace {

struct Sizes {
  size_t floats = (64 << 20) / sizeof(float);
  size_t unit_floats = (1 << 20) / sizeof(float);
  int rounds = 15;
};

constexpr float kRate = 1e-4f;
constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kEpsilon = 1e-8f;
constexpr uint32_t kLanes = 2;

[[gnu::noinline]] void stream(float* __restrict y, const float* __restrict x, float a, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

[[gnu::noinline]] void stream_two(float* __restrict y, const float* __restrict x1,
                                  const float* __restrict x2, float a, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += a * (x1[i] + x2[i]);
}

// The first update, so that both corrections are 1 - beta.
[[gnu::noinline]] void fused_adam(float* __restrict w, const float* __restrict g,
                                  float* __restrict m, float* __restrict v, size_t n) {
  const float rate = kRate / (1 - kBeta1);
  const float scale = 1 / std::sqrt(1 - kBeta2);
  for (size_t i = 0; i < n; ++i) {
    m[i] = kBeta1 * m[i] + (1 - kBeta1) * g[i];
    v[i] = kBeta2 * v[i] + (1 - kBeta2) * g[i] * g[i];
    w[i] -= rate * m[i] / (std::sqrt(v[i]) * scale + kEpsilon);
  }
}

[[gnu::noinline]] void fused_adam_two(float* __restrict w, const float* __restrict g1,
                                      const float* __restrict g2, float* __restrict m,
                                      float* __restrict v, size_t n) {
  const float rate = kRate / (1 - kBeta1);
  const float scale = 1 / std::sqrt(1 - kBeta2);
  for (size_t i = 0; i < n; ++i) {
    const float g = g1[i] + g2[i];
    m[i] = kBeta1 * m[i] + (1 - kBeta1) * g;
    v[i] = kBeta2 * v[i] + (1 - kBeta2) * g * g;
    w[i] -= rate * m[i] / (std::sqrt(v[i]) * scale + kEpsilon);
  }
}

// The gradients of the lanes, and memory for the floors.
struct Arrays {
  explicit Arrays(size_t floats) {
    for (Buffer* b : {&weights, &first, &second, &gradient[0], &gradient[1]}) {
      *b = Buffer::allocate(floats * sizeof(float));
    }
    Random random(3);
    for (size_t i = 0; i < floats; ++i) {
      gradient[0].floats()[i] = static_cast<float>(random.uniform() - 0.5);
      gradient[1].floats()[i] = static_cast<float>(random.uniform() - 0.5);
    }
  }
  Buffer weights, first, second, gradient[2];
};

struct Variant {
  Mode mode;
  OptimizerKind kind;
  uint32_t pushes;  // 1: both lanes in one; 2: a push of each lane
};

// The units of a shard, the frames that bring them gradients, and a push for each. A push stands
// for two samples, so gradients are divided by two: twice the learning rate (SGD) and half the
// epsilon (Adam) make the floors' updates of them, but for Adam's rate.
class Units {
 public:
  Units(const Sizes& sizes, const Arrays& arrays, const Variant& variant)
      : arrays_(arrays),
        variant_(variant),
        schedule_(2 << 20, kLanes, kLanes, 1),
        frames_(sizes.unit_floats * sizeof(float) + kFrameOffset, 1 << 10) {
    rule_.lanes = kLanes;
    rule_.train.mode = variant.mode;
    rule_.train.optimizer = {.kind = variant.kind, .learning_rate = 2 * kRate};
    rule_.train.optimizer.beta1 = kBeta1;
    rule_.train.optimizer.beta2 = kBeta2;
    rule_.train.optimizer.epsilon = kEpsilon / 2;
    ParameterSpec parameter;
    parameter.shape = {sizes.floats};
    for (size_t first = 0; first < sizes.floats; first += sizes.unit_floats) {
      const UnitSpec spec{UnitId(static_cast<uint32_t>(units_.size())), 0, first,
                          std::min(sizes.unit_floats, sizes.floats - first)};
      UnitWeights weights(spec, parameter, 1, rule_);
      units_.push_back(variant.mode == Mode::kSync
                           ? make_sync_unit(std::move(weights), schedule_)
                           : make_async_unit(std::move(weights), schedule_, {}, {}, kLanes));
    }
  }

  // What the transport and the decoder do.
  void receive() {
    pushes_.clear();
    for (const auto& unit : units_) {
      for (uint32_t p = 0; p < variant_.pushes; ++p) pushes_.push_back(push_of(*unit, p));
    }
  }

  void apply() {
    for (size_t i = 0; i < pushes_.size(); ++i) {
      std::vector<UnitAnswer> answers;  // sent at once: dropped
      units_[i / variant_.pushes]->push({Role::kWorker, 0, 1}, std::move(pushes_[i]), Time(),
                                        answers);
    }
    ++clock_;
  }

  [[nodiscard]] float weight(size_t i, const Sizes& sizes) const {
    const Unit& unit = *units_[i / sizes.unit_floats];
    return unit.weights().current().floats()[i % sizes.unit_floats];
  }

 private:
  static constexpr size_t kFrameOffset = 8;

  wire::PushEntry push_of(const Unit& unit, uint32_t number) {
    const UnitSpec& spec = unit.weights().spec();
    const size_t at = spec.first_element * sizeof(float);
    wire::PushEntry entry;
    entry.unit = spec.id;
    entry.sequence = number + 1;
    entry.base_version = clock_;
    entry.gradient = frames_.take().slice(kFrameOffset, spec.bytes());
    std::memcpy(entry.gradient.data(), arrays_.gradient[number].data() + at, spec.bytes());
    const bool whole = variant_.pushes == 1;
    entry.node_low = whole ? 0 : number;
    entry.node_high = whole ? kLanes : number + 1;
    for (uint32_t lane = entry.node_low; lane < entry.node_high; ++lane) {
      entry.lanes.push_back({.lane = LaneId(lane), .fence = 1, .clock = clock_, .weight = 1});
    }
    return entry;
  }

  const Arrays& arrays_;
  const Variant variant_;
  const LaneSchedule schedule_;
  UpdateRule rule_;
  BufferPool frames_;
  std::vector<std::unique_ptr<Unit>> units_;
  std::vector<wire::PushEntry> pushes_;
  Clock clock_ = 0;
};

struct Floor {
  std::string name;
  void (*run)(Arrays&, size_t n);
};

const Floor kAxpy{"floor: y += a * x", [](Arrays& a, size_t n) {
                    stream(a.weights.floats().data(), a.gradient[0].floats().data(), -kRate, n);
                  }};
const Floor kAxpyTwo{"floor: y += a * (x1 + x2)", [](Arrays& a, size_t n) {
                       stream_two(a.weights.floats().data(), a.gradient[0].floats().data(),
                                  a.gradient[1].floats().data(), -kRate, n);
                     }};
const Floor kAdam{"floor: fused Adam", [](Arrays& a, size_t n) {
                    fused_adam(a.weights.floats().data(), a.gradient[0].floats().data(),
                               a.first.floats().data(), a.second.floats().data(), n);
                  }};
const Floor kAdamTwo{"floor: fused Adam of x1 + x2", [](Arrays& a, size_t n) {
                       fused_adam_two(a.weights.floats().data(), a.gradient[0].floats().data(),
                                      a.gradient[1].floats().data(), a.first.floats().data(),
                                      a.second.floats().data(), n);
                     }};

struct Pair {
  std::string name;
  Variant variant;
  const Floor& floor;
};

const std::vector<Pair> kPairs = {
    {"sgd sync", {Mode::kSync, OptimizerKind::kSgd, 1}, kAxpy},
    {"sgd async", {Mode::kAsync, OptimizerKind::kSgd, 1}, kAxpy},
    {"sgd sync, 2 lanes", {Mode::kSync, OptimizerKind::kSgd, 2}, kAxpyTwo},
    {"adam sync", {Mode::kSync, OptimizerKind::kAdam, 1}, kAdam},
    {"adam async", {Mode::kAsync, OptimizerKind::kAdam, 1}, kAdam},
    {"adam sync, 2 lanes", {Mode::kSync, OptimizerKind::kAdam, 2}, kAdamTwo},
};

// The first update of zero weights.
void verify(const Sizes& sizes, const Pair& pair) {
  Arrays arrays(sizes.floats);
  Units units(sizes, arrays, pair.variant);
  units.receive();
  units.apply();
  pair.floor.run(arrays, sizes.floats);
  const float scale = pair.variant.kind == OptimizerKind::kAdam ? 2 : 1;
  for (size_t i = 0; i < sizes.floats; ++i) {
    const float floor = arrays.weights.floats()[i] * scale;
    const float ours = units.weight(i, sizes);
    BALLAST_CHECK_MSG(std::abs(ours - floor) <= 1e-6f,
                      fmt::format("{}, element {}: {} and {}", pair.name, i, ours, floor));
  }
}

void run_pair(const Sizes& sizes, const Pair& pair) {
  verify(sizes, pair);
  Arrays arrays(sizes.floats);
  Units units(sizes, arrays, pair.variant);
  const auto timings = alternate({{pair.floor.name, [&] { pair.floor.run(arrays, sizes.floats); }},
                                  {kAxpy.name, [&] { kAxpy.run(arrays, sizes.floats); }},
                                  {pair.name, [&] { units.apply(); }, [&] { units.receive(); }}},
                                 sizes.rounds);
  const Timing& floor = timings[0];
  const Timing& ours = timings[2];
  const double gigabytes = static_cast<double>(sizes.floats) * sizeof(float) / 1e9;
  fmt::print("{:<20} {:<28} {:>6.2f} {:>6.2f} {:>5.1f} {:>7.2f}x {:>7.2f}x {:>7.2f}x {:>7.2f}x\n",
             pair.name, floor.name, gigabytes / floor.median_seconds,
             gigabytes / ours.median_seconds, ours.mad_seconds / ours.median_seconds * 100,
             floor.median_seconds / ours.median_seconds,
             floor.processor_seconds / ours.processor_seconds,
             timings[1].median_seconds / ours.median_seconds,
             timings[1].processor_seconds / ours.processor_seconds);
}

void run(const Sizes& sizes) {
  fmt::print(
      "GB/s of weights; ratios of the floor and of y += a * x, by wall and by processor "
      "time; n = {}\n{:<20} {:<28} {:>6} {:>6} {:>5} {:>8} {:>8} {:>8} {:>8}\n",
      sizes.rounds, "", "", "floor", "ours", "MAD %", "wall", "cpu", "y+=a*x", "cpu");
  for (const Pair& pair : kPairs) run_pair(sizes, pair);
  fmt::print("bounds: sgd >= 0.7x, adam >= 0.6x\n");
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  ballast::bench::Sizes sizes;
  if (argc == 2 && std::string_view(argv[1]) == "--smoke") {
    sizes = {.floats = 30'000, .unit_floats = 9'000, .rounds = 2};
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: apply_bench [--smoke]\n");
    return 2;
  }
  ballast::bench::run(sizes);
  return 0;
}
