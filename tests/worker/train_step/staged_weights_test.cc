// Weights that come while steps with older ones are computed: those never see them, and the steps
// after see nothing else, in whatever order a device of its own memory does what it is asked.
#include <gtest/gtest.h>

#include <vector>

#include "common/base/random.h"
#include "tests/support/sim_device.h"
#include "tests/worker/train_step/streams_fixture.h"
#include "worker/local_optimizer.h"

namespace ballast {
namespace {

using testing::dropout_case;
using testing::give_away;
using testing::kJunk;
using testing::kRows;
using testing::kSeeds;
using testing::Lent;
using testing::plain_case;
using testing::ReferenceCase;
using testing::Seen;
using testing::SimDevice;

constexpr uint32_t kJobs = 24;
constexpr uint32_t kBatches = 4;  // of a job

// The weights of a job as they come, a unit after another: halves of parameters, drawn anew.
class ComingWeights {
 public:
  explicit ComingWeights(TrainStep& step) : step_(step) {}

  void come(uint32_t job) {
    Random random(job);
    for (uint32_t p = 0; p < step_.parameters().size(); ++p) {
      const size_t all = step_.parameters()[p].element_count();
      for (const auto& [first, end] : {std::pair(size_t{0}, all / 2), std::pair(all / 2, all)}) {
        Unit unit{p, first, std::vector<float>(end - first)};
        for (float& weight : unit.values) weight = static_cast<float>(0.3 * random.normal());
        if (!unit.values.empty()) units_.push_back(std::move(unit));
      }
    }
  }
  void stage_some() {
    for (; next_ < units_.size() && step_.can_stage(units_[next_].parameter); ++next_, ++staged_) {
      Unit& unit = units_[next_];
      step_.stage(unit.parameter, unit.first, std::as_bytes(std::span(unit.values)));
      std::ranges::fill(unit.values, kJunk);
    }
  }
  void take_rest() {
    step_.send_staged();
    for (; next_ < units_.size(); ++next_) {
      const Unit& unit = units_[next_];
      step_.take_weights(unit.parameter, unit.first, std::as_bytes(std::span(unit.values)));
    }
    units_.clear();
    next_ = 0;
  }
  [[nodiscard]] uint64_t staged() const { return staged_; }

 private:
  struct Unit {
    uint32_t parameter;
    size_t first;
    std::vector<float> values;
  };

  TrainStep& step_;
  std::vector<Unit> units_;
  size_t next_ = 0;  // of units_
  uint64_t staged_ = 0;
};

enum class Push { kSums, kDeltas };

class StagedWeights : public ::testing::TestWithParam<std::tuple<Push, bool>> {
 protected:
  // Jobs of four batches; weights for the next come once a job has begun. `staged`: how many units
  // were, or null.
  Seen train(Backend& backend, uint64_t* staged = nullptr) const {
    const auto step = testing::step_of(c_, backend, kRows, /*sums_batches=*/!deltas_);
    if (deltas_) {
      EXPECT_TRUE(step->local().allocate({.kind = OptimizerKind::kMomentum}).ok());
    }
    ComingWeights weights(*step);
    weights.come(kJobs);
    weights.take_rest();
    GradientSet gradients = testing::gradients_for(*step);
    Seen seen;
    StepHooks hooks;
    hooks.pass_launched = [&] {
      weights.stage_some();
      return Status();
    };
    hooks.gradient_final = [&](uint32_t layer) {
      give_away(layer, *step, gradients, seen.values);
      return Status();
    };
    for (uint32_t job = 0; job < kJobs; ++job) {
      weights.come(job);
      double weight_sum = 0;
      for (uint32_t b = 0; b < kBatches; ++b) {
        const Lent lent(c_, job * kBatches + b);
        const auto result = step->run(lent.rows(kRows, true), context_of(job, b), gradients, hooks);
        EXPECT_TRUE(result.ok()) << result.status().to_string();
        if (!result.ok()) return seen;
        seen.losses.push_back(result->loss_sum);
        weight_sum += result->weight_sum;
      }
      if (deltas_ && job % 5 == 4) step->local().give_up();
      if (deltas_ && job % 5 != 4) {
        EXPECT_TRUE(step->local().finish(weight_sum, gradients, {}, hooks).ok());
      }
      weights.take_rest();
      if (job % 3 != 0) continue;
      const Lent lent(c_, job);
      seen.losses.push_back(step->evaluate(lent.rows(kRows, false)).value().loss_sum);
    }
    if (staged != nullptr) *staged += weights.staged();
    return seen;
  }

  const bool deltas_ = std::get<0>(GetParam()) == Push::kDeltas;
  const ReferenceCase c_ = std::get<1>(GetParam()) ? plain_case() : dropout_case();

 private:
  [[nodiscard]] StepContext context_of(uint32_t job, uint32_t b) const {
    return {.seed = 1,
            .batch = job * kBatches + b,
            .lane = LaneId(0),
            .first = deltas_ || b == 0,
            .last = deltas_ || b + 1 == kBatches,
            .clock = job,
            .local_rate = deltas_ ? std::optional(0.02) : std::nullopt};
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, StagedWeights,
                         ::testing::Combine(::testing::Values(Push::kSums, Push::kDeltas),
                                            ::testing::Bool()),
                         [](const auto& way) {
                           return std::string(std::get<0>(way.param) == Push::kDeltas ? "Deltas"
                                                                                      : "Sums") +
                                  (std::get<1>(way.param) ? "AsGraphs" : "OneByOne");
                         });

TEST_P(StagedWeights, AreThoseOfTheNextStepsAndOfNoOther) {
  const Seen expected = train(*testing::cpu_backend());
  ASSERT_GT(expected.losses.size(), size_t{kJobs} * kBatches);
  uint64_t staged = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);

    ASSERT_TRUE(train(device, &staged) == expected) << "seed " << seed;
  }
  EXPECT_GT(staged, kSeeds * kJobs) << "some come while the device computes";
}

TEST(StagedWeightsOnHostMemory, AreNone) {
  const ReferenceCase c = plain_case();
  const auto backend = testing::cpu_backend();
  const auto step = testing::step_of(c, *backend, kRows);
  GradientSet gradients = testing::gradients_for(*step);
  uint32_t asked = 0;
  StepHooks hooks;
  hooks.pass_launched = [&] {
    EXPECT_FALSE(step->can_stage(asked++)) << "the step computes with them";
    return Status();
  };

  EXPECT_TRUE(step->run(testing::rows_of(c), {.seed = 1}, gradients, hooks).ok());

  EXPECT_EQ(asked, 1u);
}

}  // namespace
}  // namespace ballast
