// Question: does a shard's update run at the speed of memory? 64 MiB of weights in units of 1 MiB,
// one thread. Floors, written by hand, and the bytes they move per element:
//   in place (async)      y += a * x                          read y, x, write y 12
//                         fused Adam                          read w, g, m, v, write w, m, v 28
//   out of place (sync)   z = y + a * x                       also reads the line it overwrites 16
//                         fused Adam into new weights 32
// So out of place can reach 0.75x (SGD) of in place. Stores around the cache, which skip that read,
// were tried and were slower (3.5 to 4.9 GB/s against 4.9, 2 vCPU EPYC). Results are compared with
// the floors' first. Bounds: SGD >= 0.7x, Adam >= 0.6x of its floor; more lanes read more.
//
//   apply_bench [--smoke]
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <span>
#include <string_view>

#include "bench/micro/alternate.h"
#include "common/base/buffer.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/vectorize.h"
#include "common/optimizer/optimizer.h"

namespace ballast::bench {
namespace {

struct Sizes {
  size_t floats = (64 << 20) / sizeof(float);
  size_t unit_floats = (1 << 20) / sizeof(float);
  int rounds = 9;
};

constexpr float kRate = 1e-4f;
constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kEpsilon = 1e-8f;

[[gnu::noinline]] void stream(float* __restrict y, const float* __restrict x, float a, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

[[gnu::noinline]] void stream_out(float* __restrict z, const float* __restrict y,
                                  const float* __restrict x, float a, size_t n) {
  for (size_t i = 0; i < n; ++i) z[i] = y[i] + a * x[i];
}

// The first update, so that both corrections are 1 - beta. `out` may be `w`.
[[gnu::noinline]] void fused_adam(const float* w, float* out, const float* __restrict g,
                                  float* __restrict m, float* __restrict v, size_t n) {
  const float rate = kRate / (1 - kBeta1);
  const float scale = 1 / std::sqrt(1 - kBeta2);
  BALLAST_INDEPENDENT_ITERATIONS
  for (size_t i = 0; i < n; ++i) {
    m[i] = kBeta1 * m[i] + (1 - kBeta1) * g[i];
    v[i] = kBeta2 * v[i] + (1 - kBeta2) * g[i] * g[i];
    out[i] = w[i] - rate * m[i] / (std::sqrt(v[i]) * scale + kEpsilon);
  }
}

struct Arrays {
  explicit Arrays(size_t floats) {
    for (Buffer* b : {&weights, &published, &first, &second, &gradient, &gradient2}) {
      *b = Buffer::allocate(floats * sizeof(float));
    }
    Random random(3);
    for (size_t i = 0; i < floats; ++i) {
      weights.floats()[i] = static_cast<float>(random.uniform());
      gradient.floats()[i] = static_cast<float>(random.uniform() - 0.5);
    }
  }
  Buffer weights, published, first, second, gradient, gradient2;
};

struct Variant {
  OptimizerKind kind;
  bool in_place;
  uint32_t lanes;
};

// As shards do it: one call a unit.
void apply(const Sizes& sizes, Arrays& a, const Variant& variant) {
  const OptimizerConfig config{.kind = variant.kind, .beta1 = kBeta1, .beta2 = kBeta2};
  for (size_t first = 0; first < sizes.floats; first += sizes.unit_floats) {
    const size_t count = std::min(sizes.unit_floats, sizes.floats - first);
    const auto part = [&](Buffer& b) { return b.floats().subspan(first, count); };
    const GradientNode nodes[] = {{0, 1, a.gradient.data() + first * sizeof(float)},
                                  {1, 2, a.gradient2.data() + first * sizeof(float)}};
    const std::span<float> state[] = {part(a.first), part(a.second)};
    apply_update(config, {.gradients = std::span(nodes).first(variant.lanes),
                          .lanes = 2,
                          .weight_sum = 1,
                          .updates = 1,
                          .learning_rate = kRate,
                          .decay = false,
                          .weights_in = part(a.weights),
                          .weights_out = part(variant.in_place ? a.weights : a.published),
                          .state = std::span(state).first(state_count(variant.kind))});
  }
}

void expect_equal(std::span<const float> ours, std::span<const float> floor) {
  for (size_t i = 0; i < ours.size(); ++i) {
    BALLAST_CHECK_MSG(std::abs(ours[i] - floor[i]) <= 1e-6f,
                      fmt::format("element {}: {} and {}", i, ours[i], floor[i]));
  }
}

void verify(const Sizes& sizes) {
  for (const OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kAdam}) {
    Arrays ours(sizes.floats), floor(sizes.floats);
    apply(sizes, ours, {kind, true, 1});
    if (kind == OptimizerKind::kSgd) {
      stream(floor.weights.floats().data(), floor.gradient.floats().data(), -kRate, sizes.floats);
    } else {
      float* w = floor.weights.floats().data();
      fused_adam(w, w, floor.gradient.floats().data(), floor.first.floats().data(),
                 floor.second.floats().data(), sizes.floats);
    }
    expect_equal(ours.weights.floats(), floor.weights.floats());
  }
  fmt::print("results agree with the floors'\n");
}

void run(const Sizes& sizes) {
  verify(sizes);
  Arrays a(sizes.floats);
  float* w = a.weights.floats().data();
  float* z = a.published.floats().data();
  float* m = a.first.floats().data();
  float* v = a.second.floats().data();
  const float* g = a.gradient.floats().data();
  const size_t n = sizes.floats;
  std::vector<Contender> contenders;
  std::vector<size_t> floor_of;
  const auto floor = [&](std::string name, std::function<void()> block) {
    contenders.push_back({std::move(name), std::move(block)});
    floor_of.push_back(contenders.size() - 1);
  };
  const auto ours = [&](std::string name, Variant variant) {
    contenders.push_back({std::move(name), [&sizes, &a, variant] { apply(sizes, a, variant); }});
    floor_of.push_back(floor_of.back());
  };
  floor("floor: y += a * x", [=] { stream(w, g, -kRate, n); });
  ours("sgd in place", {OptimizerKind::kSgd, true, 1});
  floor("floor: z = y + a * x", [=] { stream_out(z, w, g, -kRate, n); });
  ours("sgd out of place", {OptimizerKind::kSgd, false, 1});
  ours("sgd out of place, 2 lanes", {OptimizerKind::kSgd, false, 2});
  floor("floor: fused Adam", [=] { fused_adam(w, w, g, m, v, n); });
  ours("adam in place", {OptimizerKind::kAdam, true, 1});
  floor("floor: fused Adam to new", [=] { fused_adam(w, z, g, m, v, n); });
  ours("adam out of place", {OptimizerKind::kAdam, false, 1});
  ours("adam out of place, 2 lanes", {OptimizerKind::kAdam, false, 2});
  const std::vector<Timing> timings = alternate(contenders, sizes.rounds);

  const double bytes = static_cast<double>(n) * sizeof(float);
  fmt::print("{:<28} {:>14} {:>8} {:>10}\n", "", "GB/s gradient", "MAD %", "of floor");
  for (size_t c = 0; c < timings.size(); ++c) {
    const Timing& t = timings[c];
    fmt::print("{:<28} {:>14.2f} {:>8.2f} {:>9.2f}x\n", t.name, bytes / t.median_seconds / 1e9,
               t.mad_seconds / t.median_seconds * 100,
               timings[floor_of[c]].median_seconds / t.median_seconds);
  }
  fmt::print("bounds for one lane: sgd >= 0.7x, adam >= 0.6x of the floor above; n = {}\n",
             sizes.rounds);
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  ballast::bench::Sizes sizes;
  if (argc == 2 && std::string_view(argv[1]) == "--smoke") {
    sizes = {.floats = 10'000, .unit_floats = 3'000, .rounds = 2};
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: apply_bench [--smoke]\n");
    return 2;
  }
  ballast::bench::run(sizes);
  return 0;
}
