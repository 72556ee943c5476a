// Question: does a shard's update run at the speed of memory? 64 MiB of weights in units of 1 MiB,
// one thread. Ours is Shard from the decoded message to its answer with the new version: fences,
// marks, slots, fold over the lanes, division, optimizer, journal (durability "checkpoint"). Every
// round brings fresh gradients in the transport's stead, at 8 mod 64 as libzmq has them; that is
// not timed. Then 128 MiB of something else are read and written, so that neither side finds its
// data in a cache.
//
// Floors, written by hand, and the bytes they move per element:
//   y += a * x                  read y, x, write y                          12
//   y += a * (x1 + x2)          read y, x1, x2, write y                     16
//   fused Adam                  read w, g, m, v, write w, m, v              28
// The new version is written over a gradient, so ours moves as many although the old version stays
// as it is. Into memory of its own it would move 4 more, the line that is overwritten being read
// first: 0.75x at best (SGD, one lane). Results are compared with the floors' first.
// Bounds, by wall time, each beside its own floor: SGD >= 0.7x, Adam >= 0.6x; or it ends with 1.
// Beside y += a * x two lanes could reach 0.75x.
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
#include "bench/micro/bounds.h"
#include "common/base/buffer.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/vectorize.h"
#include "common/placement/units.h"
#include "common/storage/memory_journal.h"
#include "server/shard/shard.h"

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

// As much as any cache holds: what is timed finds none of its data there.
class OtherData {
 public:
  explicit OtherData(const Sizes& sizes)
      : data_(Buffer::allocate(2 * sizes.floats * sizeof(float))) {}
  void read() {
    for (float& value : data_.floats()) value += 1;
  }

 private:
  Buffer data_;
};

// A shard with its units, the frames that bring it gradients, and a push for each unit. A push
// stands for two samples, so gradients are divided by two: twice the learning rate (SGD) and half
// the epsilon (Adam) make the floors' updates of them, but for Adam's rate.
class ShardUnderTest {
 public:
  ShardUnderTest(const Sizes& sizes, const Arrays& arrays, const Variant& variant)
      : arrays_(arrays),
        variant_(variant),
        journal_(store_, ShardId(0), Durability::kCheckpoint),
        frames_(sizes.unit_floats * sizeof(float) + kFrameOffset, 1 << 10) {
    ShardConfig config;
    config.incarnation = 1;
    config.job = job_of(variant);
    ParameterSpec parameter;
    parameter.shape = {sizes.floats};
    config.parameters = {parameter};
    config.units = units_ = cut_units(config.parameters, sizes.unit_floats * sizeof(float));
    shard_ = std::make_unique<Shard>(journal_, config, [](const wire::Load&) {
      return Status(Code::kNotFound, "no checkpoint here");
    });
    shard_->start(kNow, effects_);
    drain_journal();
    wire::Load load;
    load.incarnation = 1;
    load.fences.assign(kLanes, 1);
    for (const UnitSpec& unit : units_) load.units.push_back({unit.id, ShardId(0), 0});
    hear({Role::kCoordinator, 0, 1}, std::move(load));
    drain_journal();
    BALLAST_CHECK(shard_->serving());
  }

  // What the transport and the decoder do.
  void receive() {
    for (const UnitSpec& unit : units_) {
      for (uint32_t p = 0; p < variant_.pushes; ++p) pushes_.push_back(push_of(unit, p));
    }
  }

  void apply() {
    const uint64_t answered =
        shard_->replies(wire::ReplyCode::kApplied) + shard_->replies(wire::ReplyCode::kClosed);
    const size_t pushed = pushes_.size();
    for (wire::Push& push : pushes_) {
      hear({Role::kWorker, 0, 1}, std::move(push));
      drain_journal();
      effects_.clear();  // the answers are sent at once
    }
    BALLAST_CHECK(shard_->replies(wire::ReplyCode::kApplied) +
                      shard_->replies(wire::ReplyCode::kClosed) - answered ==
                  pushed);
    pushes_.clear();
    ++clock_;
  }

  [[nodiscard]] std::vector<float> weights() const {
    std::vector<float> all;
    for (const Unit* unit : shard_->units()) {
      const std::span<const float> own = unit->weights().current().floats();
      all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }

 private:
  static constexpr size_t kFrameOffset = 8;
  static constexpr Time kNow{1s};

  static JobConfig job_of(const Variant& variant) {
    JobConfig job;
    job.train.mode = variant.mode;
    job.train.batch = job.train.lanes = kLanes;
    job.train.epochs = 1;
    job.resolved.train_rows = 2 << 20;
    job.checkpoint.durability = Durability::kCheckpoint;
    job.train.optimizer = {.kind = variant.kind, .learning_rate = 2 * kRate};
    job.train.optimizer.beta1 = kBeta1;
    job.train.optimizer.beta2 = kBeta2;
    job.train.optimizer.epsilon = kEpsilon / 2;
    return job;
  }

  void hear(const Peer& from, wire::Any message) {
    shard_->handle(shard_event::Received{from, std::move(message)}, kNow, effects_);
  }

  void drain_journal() {
    store_.make_durable(ShardId(0));
    while (auto event = journal_.poll()) {
      shard_->handle(shard_event::Stored{std::move(*event)}, kNow, effects_);
    }
  }

  wire::Push push_of(const UnitSpec& spec, uint32_t number) {
    const size_t at = spec.first_element * sizeof(float);
    wire::PushEntry entry;
    entry.unit = spec.id;
    entry.sequence = ++sequence_;
    entry.base_version = clock_;
    entry.gradient = frames_.take().slice(kFrameOffset, spec.bytes());
    std::memcpy(entry.gradient.data(), arrays_.gradient[number].data() + at, spec.bytes());
    const bool whole = variant_.pushes == 1;
    entry.node_low = whole ? 0 : number;
    entry.node_high = whole ? kLanes : number + 1;
    for (uint32_t lane = entry.node_low; lane < entry.node_high; ++lane) {
      entry.lanes.push_back({.lane = LaneId(lane), .fence = 1, .clock = clock_, .weight = 1});
    }
    wire::Push push;
    push.entries.push_back(std::move(entry));
    return push;
  }

  const Arrays& arrays_;
  const Variant variant_;
  MemoryStore store_;
  MemoryJournal journal_;
  BufferPool frames_;
  std::vector<UnitSpec> units_;
  std::unique_ptr<Shard> shard_;
  ShardEffects effects_;
  std::vector<wire::Push> pushes_;
  uint64_t sequence_ = 0;
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
  ShardUnderTest shard(sizes, arrays, pair.variant);
  shard.receive();
  shard.apply();
  pair.floor.run(arrays, sizes.floats);
  const std::vector<float> weights = shard.weights();
  const float scale = pair.variant.kind == OptimizerKind::kAdam ? 2 : 1;
  for (size_t i = 0; i < sizes.floats; ++i) {
    const float floor = arrays.weights.floats()[i] * scale;
    const float ours = weights.at(i);
    BALLAST_CHECK_MSG(std::abs(ours - floor) <= 1e-6f,
                      fmt::format("{}, element {}: {} and {}", pair.name, i, ours, floor));
  }
}

// -> what ours reaches of its floor, by wall time.
double run_pair(const Sizes& sizes, const Pair& pair) {
  verify(sizes, pair);
  Arrays arrays(sizes.floats);
  ShardUnderTest shard(sizes, arrays, pair.variant);
  OtherData other(sizes);
  const auto timings = alternate(
      {{pair.floor.name, [&] { pair.floor.run(arrays, sizes.floats); }, [&] { other.read(); }},
       {kAxpy.name, [&] { kAxpy.run(arrays, sizes.floats); }, [&] { other.read(); }},
       {pair.name, [&] { shard.apply(); }, [&] { shard.receive(), other.read(); }}},
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
  return floor.median_seconds / ours.median_seconds;
}

int run(const Sizes& sizes, bool smoke) {
  fmt::print(
      "GB/s of weights; ratios of the floor and of y += a * x, by wall and by processor "
      "time; n = {}\n{:<20} {:<28} {:>6} {:>6} {:>5} {:>8} {:>8} {:>8} {:>8}\n",
      sizes.rounds, "", "", "floor", "ours", "MAD %", "wall", "cpu", "y+=a*x", "cpu");
  std::vector<double> reached;
  for (const Pair& pair : kPairs) reached.push_back(run_pair(sizes, pair));
  Bounds bounds(smoke);
  for (size_t i = 0; i < kPairs.size(); ++i) {
    const bool adam = kPairs[i].variant.kind == OptimizerKind::kAdam;
    bounds.at_least(kPairs[i].name, reached[i], adam ? 0.6 : 0.7);
  }
  return bounds.exit_code();
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  ballast::bench::Sizes sizes;
  const bool smoke = argc == 2 && std::string_view(argv[1]) == "--smoke";
  if (smoke) {
    sizes = {.floats = 30'000, .unit_floats = 9'000, .rounds = 2};
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: apply_bench [--smoke]\n");
    return 2;
  }
  return ballast::bench::run(sizes, smoke);
}
