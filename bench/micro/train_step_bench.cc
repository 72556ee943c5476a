// Question 1: what does the training step cost over the arithmetic itself? MLP 784-512-256-10,
// batch 256, one thread: TrainStep + apply_update against a bare loop over Eigen matrices. The
// losses of both must agree first. Bound: >= 0.9x, or it ends with 1. Question 2: what do more
// lanes per worker cost? The same batch as 1, 2, 4 and 8 lanes, each a step of its own over its
// rows, summed up the tree.
//
//   train_step_bench [--smoke]
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "bench/micro/alternate.h"
#include "bench/micro/bare_eigen_mlp.h"
#include "bench/micro/bounds.h"
#include "bench/micro/relu_mlp.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/optimizer/optimizer.h"
#include "worker/train_step.h"

namespace ballast::bench {
namespace {

struct Sizes {
  std::vector<uint32_t> widths = {784, 512, 256, 10};
  uint32_t batch = 256;
  int steps = 20;   // of one measurement
  int rounds = 11;  // measurements
};

constexpr float kLearningRate = 0.01f;

struct Batch {
  std::vector<float> features;
  std::vector<float> labels;
};

Batch random_batch(const Sizes& sizes) {
  Random random(1);
  Batch batch;
  for (uint32_t i = 0; i < sizes.batch * sizes.widths[0]; ++i) {
    batch.features.push_back(static_cast<float>(random.uniform()));
  }
  for (uint32_t i = 0; i < sizes.batch; ++i) {
    batch.labels.push_back(static_cast<float>(random.below(sizes.widths.back())));
  }
  return batch;
}

// A worker without servers: every lane's gradients, the tree, the optimizer in place.
class Worker {
 public:
  Worker(const Sizes& sizes, uint32_t lanes)
      : lanes_(lanes),
        lane_rows_(sizes.batch / lanes),
        backend_(std::move(make_backend(Device::kCpu, {})).value()),
        step_(std::move(TrainStep::create(relu_mlp(sizes.widths), sizes.widths[0], 1, lane_rows_,
                                          *backend_))
                  .value()) {
    for (uint32_t p = 0; p < step_->parameters().size(); ++p) {
      fill_initial(step_->parameters()[p], p, 1, 0, step_->weights(p));
    }
    for (uint32_t depth = 0; depth <= std::bit_width(lanes); ++depth) {
      GradientSet set;
      for (const ParameterSpec& parameter : step_->parameters()) {
        set.parameters.push_back(Buffer::allocate(parameter.element_count() * sizeof(float)));
      }
      sums_.push_back(std::move(set));
    }
  }

  TrainStep& step() { return *step_; }

  // Sum of losses before the update.
  double train(const Batch& batch) {
    const double loss = gradients(batch, 0, lanes_, 0);
    for (uint32_t p = 0; p < step_->parameters().size(); ++p) {
      const GradientNode node{0, lanes_, sums_[0].parameters[p].data()};
      apply_update({}, {.gradients = {&node, 1},
                        .lanes = lanes_,
                        .update = {.weight_sum = static_cast<double>(lane_rows_) * lanes_,
                                   .updates = 1,
                                   .learning_rate = kLearningRate,
                                   .decay = false},
                        .weights_in = step_->weights(p),
                        .weights_out = step_->weights(p),
                        .state = {}});
    }
    return loss;
  }

 private:
  // The sum of lanes [low, high) into sums_[slot].
  double gradients(const Batch& batch, uint32_t low, uint32_t high, uint32_t slot) {
    if (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      const double left = gradients(batch, low, middle, slot);
      const double right = gradients(batch, middle, high, slot + 1);
      add(sums_[slot], sums_[slot + 1]);
      return left + right;
    }
    const uint32_t width = step_->input_width();
    const auto features = std::span(batch.features).subspan(low * lane_rows_ * width);
    const auto result = step_->run({features.first(lane_rows_ * width),
                                    std::span(batch.labels).subspan(low * lane_rows_, lane_rows_),
                                    {},
                                    lane_rows_},
                                   {}, sums_[slot]);
    BALLAST_CHECK_MSG(result.ok(), result.status().to_string());
    return result->loss_sum;
  }

  const uint32_t lanes_;
  const uint32_t lane_rows_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<TrainStep> step_;
  std::vector<GradientSet> sums_;  // by depth in the tree
};

BareEigenMlp bare_like(TrainStep& step, const Sizes& sizes) {
  BareEigenMlp bare(sizes.widths, sizes.batch);
  for (uint32_t p = 0; p < step.parameters().size(); p += 2) {
    bare.set(p / 2, step.weights(p), step.weights(p + 1));
  }
  return bare;
}

// The first steps must give the same losses: float sums in another order, so within 1e-5.
void verify(const Sizes& sizes, const Batch& batch, Worker& worker, BareEigenMlp& bare) {
  for (int i = 0; i < 5; ++i) {
    const double ours = worker.train(batch);
    const double theirs = bare.step(batch.features, batch.labels, kLearningRate);
    BALLAST_CHECK_MSG(std::abs(ours - theirs) <= 1e-5 * std::abs(theirs),
                      fmt::format("step {}: losses {} and {}", i, ours, theirs));
  }
  fmt::print("losses agree over 5 steps of {} rows\n", sizes.batch);
}

int run(const Sizes& sizes, bool smoke) {
  const Batch batch = random_batch(sizes);
  Worker worker(sizes, 1);
  BareEigenMlp bare = bare_like(worker.step(), sizes);
  verify(sizes, batch, worker, bare);

  std::vector<std::unique_ptr<Worker>> laned;
  std::vector<Contender> contenders;
  contenders.push_back({"bare Eigen loop", [&] {
                          for (int i = 0; i < sizes.steps; ++i) {
                            (void)bare.step(batch.features, batch.labels, kLearningRate);
                          }
                        }});
  for (uint32_t lanes : {1u, 2u, 4u, 8u}) {
    laned.push_back(std::make_unique<Worker>(sizes, lanes));
    contenders.push_back({fmt::format("training step, {} lane{}", lanes, lanes == 1 ? "" : "s"),
                          [&sizes, &batch, w = laned.back().get()] {
                            for (int i = 0; i < sizes.steps; ++i) (void)w->train(batch);
                          }});
  }
  const std::vector<Timing> timings = alternate(contenders, sizes.rounds);

  const double samples = static_cast<double>(sizes.steps) * sizes.batch;
  fmt::print("{:<26} {:>12} {:>10} {:>8} {:>10}\n", "", "samples/s", "ms/step", "MAD %", "of bare");
  for (const Timing& timing : timings) {
    fmt::print("{:<26} {:>12.0f} {:>10.3f} {:>8.2f} {:>9.2f}x\n", timing.name,
               samples / timing.median_seconds, timing.median_seconds / sizes.steps * 1e3,
               timing.mad_seconds / timing.median_seconds * 100,
               timings[0].median_seconds / timing.median_seconds);
  }
  fmt::print("n = {}\n", sizes.rounds);
  Bounds bounds(smoke);
  bounds.at_least("training step, 1 lane, of bare",
                  timings[0].median_seconds / timings[1].median_seconds, 0.9);
  return bounds.exit_code();
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  ballast::bench::Sizes sizes;
  const bool smoke = argc == 2 && std::string_view(argv[1]) == "--smoke";
  if (smoke) {
    sizes = {.widths = {20, 16, 8, 4}, .batch = 16, .steps = 2, .rounds = 2};
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: train_step_bench [--smoke]\n");
    return 2;
  }
  return ballast::bench::run(sizes, smoke);
}
