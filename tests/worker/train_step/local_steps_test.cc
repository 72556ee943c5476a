// Local steps: what a delta is, and that it is the same on a device of its own memory, in whatever
// order that does what it is asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "common/optimizer/optimizer.h"
#include "tests/support/sim_device.h"
#include "tests/worker/train_step/streams_fixture.h"
#include "worker/local_optimizer.h"

namespace ballast {
namespace {

using testing::ChangingWeights;
using testing::dropout_case;
using testing::give_away;
using ::testing::HasSubstr;
using testing::kJunk;
using testing::kRows;
using testing::kSeeds;
using testing::Lent;
using testing::plain_case;
using testing::ReferenceCase;
using testing::Seen;
using testing::SimDevice;

using Floats = std::vector<float>;

constexpr double kRate = 0.02;

OptimizerConfig adam() {
  return {.kind = OptimizerKind::kAdam, .weight_decay = 0.01, .clip_value = 0.5};
}

std::unique_ptr<TrainStep> local_step_of(const ReferenceCase& c, Backend& backend,
                                         const OptimizerConfig& optimizer = adam()) {
  auto step = testing::step_of(c, backend, kRows);
  EXPECT_TRUE(step->local().allocate(optimizer).ok());
  return step;
}

StepContext context_of(uint32_t batch, double rate = kRate) {
  return {.seed = 1, .batch = batch, .lane = LaneId(0), .local_rate = rate};
}

void fill(GradientSet& set, float value) {
  for (Buffer& parameter : set.parameters) std::ranges::fill(parameter.floats(), value);
}

void append(const GradientSet& set, Floats& values) {
  for (const Buffer& parameter : set.parameters) {
    values.insert(values.end(), parameter.floats().begin(), parameter.floats().end());
  }
}

Floats weights_of(TrainStep& step) {
  Floats values;
  for (uint32_t p = 0; p < step.parameters().size(); ++p) {
    values.insert(values.end(), step.weights(p).begin(), step.weights(p).end());
  }
  return values;
}

bool equal_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Deltas of one to four batches, some after weights have come, some given up because a batch was
// bad, some of rows that weigh nothing; and evaluations with the weights as they were.
Seen train_locally(const ReferenceCase& c, Backend& backend,
                   const OptimizerConfig& optimizer = adam()) {
  const auto step = local_step_of(c, backend, optimizer);
  ChangingWeights changing(*step);
  GradientSet delta = testing::gradients_for(*step);
  Seen seen;
  uint32_t batch = 0;
  for (uint32_t number = 0; number < 30; ++number) {
    const uint64_t drawn = hash_numbers({11, number});
    if (drawn % 4 != 0) changing.change(number % 5);
    const bool gives_up = number % 7 == 3;
    const uint32_t batches = 1 + static_cast<uint32_t>(drawn / 4 % 4);
    double weight_sum = 0;
    for (uint32_t b = 0; b < batches; ++b, ++batch) {
      const Lent lent(c, batch);
      const auto rows = static_cast<uint32_t>(hash_numbers({12, batch}) % 3 == 0 ? 4 : kRows);
      const Floats nothing(rows, 0.0f);
      StepRows taken = lent.rows(rows, batch % 2 == 0);
      if (hash_numbers({13, batch}) % 4 == 0) taken.weights = nothing;
      const auto result = step->run(taken, context_of(batch, kRate / (b + 1)), delta);
      EXPECT_TRUE(result.ok()) << result.status().to_string();
      if (!result.ok()) return seen;
      seen.losses.push_back(result->loss_sum);
      weight_sum += result->weight_sum;
    }
    if (gives_up) {
      ReferenceCase bad = c;
      bad.features[7] = kJunk;
      EXPECT_EQ(step->run(testing::rows_of(bad), context_of(batch), delta).status().code(),
                Code::kDiverged);
      step->local().give_up();
    } else {
      fill(delta, kJunk);
      StepHooks hooks;
      hooks.gradient_final = [&](uint32_t layer) {
        give_away(layer, *step, delta, seen.values);
        return Status();
      };
      EXPECT_TRUE(step->local().finish(weight_sum, delta, {}, hooks).ok());
    }
    if (gives_up || drawn % 3 != 0) continue;
    const Lent lent(c, number);
    const auto evaluated = step->evaluate(lent.rows(kRows, true));
    EXPECT_TRUE(evaluated.ok());
    seen.losses.push_back(evaluated->loss_sum);
  }
  const Floats weights = weights_of(*step);
  seen.values.insert(seen.values.end(), weights.begin(), weights.end());
  return seen;
}

class LocalSteps : public ::testing::TestWithParam<bool> {
 protected:
  const ReferenceCase c_ = GetParam() ? plain_case() : dropout_case();
};
INSTANTIATE_TEST_SUITE_P(Ways, LocalSteps, ::testing::Bool(),
                         [](const auto& way) { return way.param ? "AsGraphs" : "OneByOne"; });

TEST_P(LocalSteps, GiveTheBitsOfADeviceThatDoesEverythingAtOnce) {
  const Seen expected = train_locally(c_, *testing::cpu_backend());
  ASSERT_GT(expected.values.size(), 1000u);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);

    const Seen seen = train_locally(c_, device);

    ASSERT_TRUE(seen == expected) << "seed " << seed;
    EXPECT_EQ(device.launches() > 0, GetParam());
  }
}

TEST_P(LocalSteps, GiveOtherBitsWithoutTheWaitsOfTheStreams) {
  const auto delta_on = [&](Backend& backend) {
    const auto step = local_step_of(c_, backend);
    GradientSet delta = testing::gradients_for(*step);
    for (uint32_t batch = 0; batch < 3; ++batch) {
      (void)step->run(testing::rows_of(c_), context_of(batch), delta);
    }
    (void)step->local().finish(3 * kRows, delta);
    Floats values;
    append(delta, values);
    return values;
  };
  const Floats expected = delta_on(*testing::cpu_backend());
  uint64_t others = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice patient(seed), hasty(seed, SimDevice::Bent::kForgetsWaits);
    EXPECT_TRUE(equal_bits(delta_on(patient), expected)) << "seed " << seed;
    others += !equal_bits(delta_on(hasty), expected);
  }
  EXPECT_GT(others, kSeeds / 2);
}

// Each batch: its gradients by a step of their own, from the weights that the update before left.
TEST_P(LocalSteps, AreUpdatesOfTheGradientsOfEachBatch) {
  const auto backend = testing::cpu_backend();
  for (const OptimizerKind kind :
       {OptimizerKind::kSgd, OptimizerKind::kMomentum, OptimizerKind::kAdamw}) {
    const OptimizerConfig optimizer{.kind = kind, .weight_decay = 0.01};
    const auto step = local_step_of(c_, *backend, optimizer);
    const auto plain = testing::step_of(c_, *backend, kRows);
    GradientSet delta = testing::gradients_for(*step), gradients = testing::gradients_for(*plain);
    const Floats before = weights_of(*plain);
    const auto parameters = plain->parameters();
    std::vector<std::vector<Floats>> state;
    for (const ParameterSpec& parameter : parameters) {
      state.emplace_back(state_count(kind), Floats(parameter.element_count()));
    }

    uint64_t updates = 0;
    for (uint32_t batch = 0; batch < 6; ++batch) {
      const Lent lent(c_, batch);
      StepRows rows = lent.rows(kRows, true);
      StepContext context = context_of(batch);
      const Floats nothing(kRows, 0.0f);
      const bool counts = batch % 2 == 1;  // first, between the others and last: rows of no weight
      if (!counts) rows.weights = nothing;
      ASSERT_TRUE(step->run(rows, context, delta).ok());
      if (!counts) continue;
      ++updates;
      context.local_rate.reset();
      const double weight_sum = plain->run(rows, context, gradients).value().weight_sum;
      for (uint32_t p = 0; p < parameters.size(); ++p) {
        const GradientNode whole{0, 1, gradients.parameters[p].data()};
        const std::vector<std::span<float>> tensors(state[p].begin(), state[p].end());
        apply_update(optimizer, {.gradients = {&whole, 1},
                                 .update = {.weight_sum = weight_sum,
                                            .updates = updates,
                                            .learning_rate = kRate,
                                            .decay = parameters[p].decay},
                                 .weights_in = plain->weights(p),
                                 .weights_out = plain->weights(p),
                                 .state = tensors});
      }
    }
    ASSERT_TRUE(step->local().finish(5, delta).ok());

    Floats found, expected = weights_of(*plain);
    append(delta, found);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = (expected[i] - before[i]) * 5.0f;
    EXPECT_TRUE(equal_bits(found, expected)) << static_cast<int>(kind);
    EXPECT_TRUE(equal_bits(weights_of(*step), before)) << static_cast<int>(kind);
  }
}

// Only the checks come to the host before the end, and nothing goes back to the device.
TEST_P(LocalSteps, LeaveTheHostAloneUntilTheyEnd) {
  SimDevice device(3);
  const auto step = local_step_of(c_, device);
  GradientSet delta = testing::gradients_for(*step);
  std::vector<std::span<float>> host;
  for (uint32_t p = 0; p < step->parameters().size(); ++p) host.push_back(step->weights(p));
  const double expected = step->evaluate(testing::rows_of(c_)).value().loss_sum;
  for (const std::span<float> weights : host) std::ranges::fill(weights, 7.0f);
  fill(delta, 5.0f);

  for (uint32_t batch = 0; batch < 3; ++batch) {
    ASSERT_TRUE(step->run(testing::rows_of(c_), context_of(batch), delta).ok());
  }
  Floats seen;
  append(delta, seen);
  ASSERT_TRUE(step->local().finish(1, delta).ok());

  EXPECT_THAT(seen, ::testing::Each(5.0f));
  EXPECT_EQ(step->evaluate(testing::rows_of(c_)).value().loss_sum, expected)
      << "the weights of the device as they were, not those of the host";
}

TEST_P(LocalSteps, HandNoGradientOver) {
  const auto backend = testing::cpu_backend();
  const auto step = local_step_of(c_, *backend);
  GradientSet delta = testing::gradients_for(*step);
  StepHooks hooks;
  hooks.gradient_final = [](uint32_t) { return Status(Code::kInternal, "handed over"); };

  EXPECT_TRUE(step->run(testing::rows_of(c_), context_of(0), delta, hooks).ok());
}

TEST_P(LocalSteps, OfRowsThatWeighNothingChangeNothing) {
  ReferenceCase nothing = c_;
  nothing.weights.assign(kRows, 0.0f);
  SimDevice device(5);
  const auto step = local_step_of(nothing, device);
  GradientSet delta = testing::gradients_for(*step);
  fill(delta, kJunk);

  ASSERT_TRUE(step->run(testing::rows_of(nothing), context_of(0), delta).ok());
  ASSERT_TRUE(step->local().finish(0, delta).ok());

  Floats seen;
  append(delta, seen);
  EXPECT_THAT(seen, ::testing::Each(0.0f));
}

// Large weights of rows with losses that are finite: their product with a derivative is not.
TEST_P(LocalSteps, TellABadGradientInTheStepThatHasIt) {
  ReferenceCase good = c_;
  good.model.layers.front().activation = Activation::kSigmoid;  // keeps what follows small
  good.weights.assign(kRows, 1.0f);
  ReferenceCase bad = good;
  bad.weights.assign(kRows, 3e38f);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);
    const auto step = local_step_of(good, device);
    GradientSet delta = testing::gradients_for(*step);
    const double expected = step->evaluate(testing::rows_of(good)).value().loss_sum;
    for (uint32_t batch = 0; batch < 4; ++batch) {
      ASSERT_TRUE(step->run(testing::rows_of(good), context_of(batch), delta).ok());
    }

    const Status status = step->run(testing::rows_of(bad), context_of(4), delta).status();

    ASSERT_EQ(status.code(), Code::kDiverged);
    EXPECT_THAT(status.to_string(), HasSubstr("bad gradient: a value of "));
    EXPECT_TRUE(device.idle()) << "the caller takes its buffers back";
    step->local().give_up();
    EXPECT_EQ(step->evaluate(testing::rows_of(good)).value().loss_sum, expected);
  }
}

// The weights that come next go over those that are put back.
TEST_P(LocalSteps, AreGivenUpBeforeOtherWeightsCome) {
  const auto loss_on = [&](Backend& backend) {
    const auto step = local_step_of(c_, backend);
    ChangingWeights changing(*step);
    GradientSet delta = testing::gradients_for(*step);
    EXPECT_TRUE(step->run(testing::rows_of(c_), context_of(0), delta).ok());
    step->local().give_up();
    changing.change(3);
    return step->evaluate(testing::rows_of(c_)).value().loss_sum;
  };
  const double expected = loss_on(*testing::cpu_backend());
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);
    ASSERT_EQ(loss_on(device), expected) << "seed " << seed;
  }
}

TEST_P(LocalSteps, TellADeltaThatIsNotFiniteByItsFirstParameter) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);
    const auto step = local_step_of(c_, device);
    GradientSet delta = testing::gradients_for(*step);
    const double expected = step->evaluate(testing::rows_of(c_)).value().loss_sum;

    uint32_t handed_over = 0;
    StepHooks hooks;
    hooks.gradient_final = [&](uint32_t) {
      ++handed_over;
      return Status();
    };

    ASSERT_TRUE(step->run(testing::rows_of(c_), context_of(0, 1e39), delta).ok());
    const Status status = step->local().finish(1, delta, {}, hooks);

    EXPECT_EQ(handed_over, 0u) << "that of the last layer is not finite either";
    ASSERT_EQ(status.code(), Code::kDiverged);
    EXPECT_THAT(status.to_string(),
                HasSubstr("bad delta: a change of " + step->parameters()[0].name));
    step->local().give_up();
    EXPECT_EQ(step->evaluate(testing::rows_of(c_)).value().loss_sum, expected);
  }
}

// A failure that is told while the device still works, as of a product that it does not have.
TEST_P(LocalSteps, AreAllDoneWhenTheirEndFails) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);
    const auto step = local_step_of(c_, device);
    GradientSet delta = testing::gradients_for(*step);
    ASSERT_TRUE(step->run(testing::rows_of(c_), context_of(0), delta).ok());
    device.fail_next_wait();

    EXPECT_EQ(step->local().finish(1, delta).code(), Code::kUnavailable);

    EXPECT_TRUE(device.idle()) << "the caller takes its buffers back";
  }
}

// On every other device, which is skipped where it is not. A gradient errs by some 1e-6 of its size
// (gradient_test.cc), a delta of four updates by no more; adam would make much of one that is near
// 0.
class LocalStepsOnADevice : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    const Status there = check_device(GetParam());
    if (!there.ok()) GTEST_SKIP() << there.to_string();
  }
};

TEST_P(LocalStepsOnADevice, GiveAboutWhatTheCpuGives) {
  const OptimizerConfig momentum{.kind = OptimizerKind::kMomentum, .weight_decay = 0.01};
  const ReferenceCase c = plain_case();
  const Seen expected = train_locally(c, *testing::cpu_backend(), momentum);

  const Seen seen = train_locally(c, *make_backend(GetParam(), {}).value(), momentum);

  ASSERT_EQ(seen.losses.size(), expected.losses.size());
  ASSERT_EQ(seen.values.size(), expected.values.size());
  for (size_t i = 0; i < seen.losses.size(); ++i) {
    EXPECT_NEAR(seen.losses[i], expected.losses[i], 1e-4 * (1 + expected.losses[i])) << i;
  }
  for (size_t i = 0; i < seen.values.size(); ++i) {
    EXPECT_NEAR(seen.values[i], expected.values[i], 1e-4 * (1 + std::abs(expected.values[i]))) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, LocalStepsOnADevice, ::testing::Values(Device::kCuda),
                         [](const auto&) { return "Cuda"; });

}  // namespace
}  // namespace ballast
