#include "worker/train_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/worker/train_step/step_fixture.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ReferenceCase;

ModelConfig small_model() {
  ModelConfig model;
  model.layers = {
      {.kind = LayerKind::kDense, .units = 16, .activation = Activation::kRelu},
      {.kind = LayerKind::kDropout, .rate = 0.25},
      {.kind = LayerKind::kLayerNorm},
      {.kind = LayerKind::kDense, .units = 4},
  };
  return model;
}

struct Fixture {
  explicit Fixture(uint32_t rows = 12, uint32_t rows_max = 16)
      : c(testing::random_case(small_model(), 6, 4, rows, 21)),
        backend(testing::cpu_backend()),
        step(testing::step_of(c, *backend, rows_max)),
        gradients(testing::gradients_for(*step)) {}

  Result<StepResult> run(const StepHooks& hooks = {}) {
    return step->run(testing::rows_of(c), testing::context_of(c), gradients, hooks);
  }

  ReferenceCase c;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<TrainStep> step;
  GradientSet gradients;
};

bool same_bits(const GradientSet& a, const GradientSet& b) {
  for (size_t p = 0; p < a.parameters.size(); ++p) {
    if (a.parameters[p].size() != b.parameters[p].size() ||
        std::memcmp(a.parameters[p].data(), b.parameters[p].data(), a.parameters[p].size()) != 0) {
      return false;
    }
  }
  return true;
}

TEST(TrainStep, CallsHooksInOrderOfUse) {
  Fixture f;
  std::vector<std::string> calls;
  StepHooks hooks;
  hooks.weights_needed = [&](uint32_t layer) {
    calls.push_back("needs " + std::to_string(layer));
    return Status();
  };
  hooks.gradient_final = [&](uint32_t layer) {
    calls.push_back("final " + std::to_string(layer));
    return Status();
  };

  ASSERT_TRUE(f.run(hooks).ok());

  EXPECT_THAT(calls, ElementsAre("needs 0", "needs 2", "needs 3", "final 3", "final 2", "final 0"));
}

TEST(TrainStep, WritesAFinalGradientNoMore) {
  Fixture f;
  GradientSet seen = testing::gradients_for(*f.step);
  StepHooks hooks;
  hooks.gradient_final = [&](uint32_t layer) {
    for (uint32_t p = 0; p < f.step->parameters().size(); ++p) {
      if (f.step->parameters()[p].layer == layer) {
        seen.parameters[p] = Buffer::copy_of(f.gradients.parameters[p].bytes());
      }
    }
    return Status();
  };

  ASSERT_TRUE(f.run(hooks).ok());

  EXPECT_TRUE(same_bits(seen, f.gradients));
}

TEST(TrainStep, TakesWeightsThatArriveWhenTheyAreNeeded) {
  Fixture expected;
  ASSERT_TRUE(expected.run().ok());

  Fixture late;
  for (uint32_t p = 0; p < late.step->parameters().size(); ++p) {
    for (float& value : late.step->weights(p)) value = 100;
  }
  StepHooks hooks;
  hooks.weights_needed = [&](uint32_t layer) {
    for (uint32_t p = 0; p < late.step->parameters().size(); ++p) {
      if (late.step->parameters()[p].layer != layer) continue;
      const std::span<float> weights = late.step->weights(p);
      for (size_t i = 0; i < weights.size(); ++i) {
        weights[i] = static_cast<float>(late.c.parameters[p][i]);
      }
    }
    return Status();
  };
  ASSERT_TRUE(late.run(hooks).ok());

  EXPECT_TRUE(same_bits(expected.gradients, late.gradients));
}

TEST(TrainStep, EndsWithTheStatusOfAHook) {
  Fixture f;
  StepHooks hooks;
  hooks.weights_needed = [](uint32_t) { return Status(Code::kStopped, "enough"); };
  EXPECT_EQ(f.run(hooks).status().code(), Code::kStopped);

  hooks = {};
  hooks.gradient_final = [](uint32_t) { return Status(Code::kConflict, "fenced"); };
  EXPECT_EQ(f.run(hooks).status().code(), Code::kConflict);

  GradientSet clean = testing::gradients_for(*f.step);
  std::swap(clean, f.gradients);
  EXPECT_TRUE(f.run().ok());
}

TEST(TrainStep, GivesTheSameBitsAgainWhateverWasComputedBetween) {
  Fixture f;
  ASSERT_TRUE(f.run().ok());
  GradientSet first = testing::gradients_for(*f.step);
  std::swap(first, f.gradients);

  ASSERT_TRUE(f.step->evaluate(testing::rows_of(f.c)).ok());
  GradientSet other = testing::gradients_for(*f.step);
  ASSERT_TRUE(
      f.step
          ->run({std::span(f.c.features).first(3 * 6), std::span(f.c.labels).first(3), {}, 3},
                testing::context_of(f.c), other)
          .ok());
  ASSERT_TRUE(f.run().ok());

  EXPECT_TRUE(same_bits(first, f.gradients));
}

TEST(TrainStep, GivesTheSameBitsWhateverRowsItHasRoomForAndWhereverFeaturesLie) {
  Fixture small(12, 12), large(12, 500);
  ASSERT_TRUE(small.run().ok());
  std::vector<float> moved(1 + large.c.features.size());
  std::copy(large.c.features.begin(), large.c.features.end(), moved.begin() + 1);
  ASSERT_TRUE(large.step
                  ->run({std::span(moved).subspan(1), large.c.labels, {}, large.c.rows},
                        testing::context_of(large.c), large.gradients)
                  .ok());

  EXPECT_TRUE(same_bits(small.gradients, large.gradients));
}

TEST(TrainStep, DropsOtherValuesForAnotherSeedStepOrLane) {
  Fixture f;
  ASSERT_TRUE(f.run().ok());
  GradientSet first = testing::gradients_for(*f.step);
  std::swap(first, f.gradients);
  const StepContext base = testing::context_of(f.c);

  for (StepContext other : {StepContext{base.seed + 1, base.clock, base.lane},
                            StepContext{base.seed, base.clock + 1, base.lane},
                            StepContext{base.seed, base.clock, LaneId(base.lane.value() + 1)}}) {
    ASSERT_TRUE(f.step->run(testing::rows_of(f.c), other, f.gradients).ok());
    EXPECT_FALSE(same_bits(first, f.gradients));
  }
}

TEST(TrainStep, EvaluatesAndPredictsWithoutDropout) {
  Fixture f;
  f.c.training = false;
  const std::vector<double> expected = testing::reference_outputs(f.c);
  std::vector<float> outputs(f.c.rows * 4), predictions(f.c.rows * 4);

  const auto result = f.step->evaluate(testing::rows_of(f.c), outputs);
  ASSERT_TRUE(f.step->predict(f.c.features, f.c.rows, predictions).ok());

  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(result->loss_sum, testing::reference_loss(f.c), 1e-4);
  EXPECT_EQ(result->weight_sum, f.c.rows);
  uint64_t correct = 0;
  for (uint32_t r = 0; r < f.c.rows; ++r) {
    double total = 0;
    size_t best = 0;
    for (size_t k = 0; k < 4; ++k) {
      total += std::exp(expected[r * 4 + k]);
      if (expected[r * 4 + k] > expected[r * 4 + best]) best = k;
    }
    if (best == static_cast<size_t>(f.c.labels[r])) ++correct;
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_NEAR(outputs[r * 4 + k], expected[r * 4 + k], 1e-4);
      EXPECT_NEAR(predictions[r * 4 + k], std::exp(expected[r * 4 + k]) / total, 1e-5);
    }
  }
  EXPECT_EQ(result->correct, correct);
  EXPECT_EQ(result->label_weight, f.c.rows);
}

TEST(TrainStep, NamesTheRowOfABadLabel) {
  for (float bad : {4.0f, -1.0f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    Fixture f;
    f.c.labels[7] = bad;
    const auto result = f.run();
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), Code::kInvalidInput);
    EXPECT_THAT(result.status().to_string(), HasSubstr("row 7"));
    EXPECT_THAT(result.status().to_string(), HasSubstr("from 0 to 3"));
  }
}

TEST(TrainStep, NamesTheRowWhoseLossIsNotFinite) {
  Fixture f;
  f.c.features[5 * 6 + 2] = std::numeric_limits<float>::quiet_NaN();

  const auto result = f.run();

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), Code::kDiverged);
  EXPECT_THAT(result.status().to_string(), HasSubstr("bad gradient: the loss of row 5"));
}

TEST(TrainStep, CallsARowByTheNameThatTheCallerGivesIt) {
  Fixture f;
  f.c.features[5 * 6 + 2] = std::numeric_limits<float>::quiet_NaN();
  StepHooks hooks;
  hooks.row_name = [](uint32_t row) { return "block 3, row " + std::to_string(40 + row); };

  const auto result = f.run(hooks);

  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.status().to_string(), HasSubstr("the loss of block 3, row 45 is NaN"));
}

TEST(TrainStep, NamesTheParameterWhoseGradientIsNotFiniteAndDoesNotHandItOver) {
  ModelConfig model;
  model.loss = LossKind::kMeanSquaredError;
  model.layers = {{.kind = LayerKind::kDense, .units = 2, .bias = false},
                  {.kind = LayerKind::kDense, .units = 1, .bias = false}};
  ReferenceCase c = testing::random_case(model, 2, 1, 4, 2);
  for (double& w : c.parameters[0]) w = 0;  // outputs and loss stay finite
  for (double& w : c.parameters[1]) w = 3e38;
  for (float& label : c.labels) label = 1e3f;  // dz * w overflows
  const auto backend = testing::cpu_backend();
  const auto step = testing::step_of(c, *backend, 4);
  GradientSet gradients = testing::gradients_for(*step);
  std::vector<uint32_t> handed;
  StepHooks hooks;
  hooks.gradient_final = [&](uint32_t layer) {
    handed.push_back(layer);
    return Status();
  };

  const auto result = step->run(testing::rows_of(c), {}, gradients, hooks);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), Code::kDiverged);
  EXPECT_THAT(result.status().to_string(), HasSubstr("layer0.weight"));
  EXPECT_THAT(handed, ElementsAre(1));
}

TEST(TrainStep, RefusesAModelThatDoesNotFit) {
  const auto backend = testing::cpu_backend();
  ModelConfig model = small_model();
  model.loss = LossKind::kMeanSquaredError;

  const auto step = TrainStep::create(model, 6, 1, 8, *backend);

  ASSERT_FALSE(step.ok());
  EXPECT_EQ(step.status().code(), Code::kInvalidInput);
  EXPECT_THAT(step.status().to_string(), HasSubstr("layer 3"));
}

TEST(TrainStep, SumsGradientSetsElementByElement) {
  Fixture f;
  ASSERT_TRUE(f.run().ok());
  GradientSet sum = testing::gradients_for(*f.step);

  add(sum, f.gradients);
  add(sum, f.gradients);

  for (size_t p = 0; p < sum.parameters.size(); ++p) {
    for (size_t i = 0; i < sum.parameters[p].floats().size(); ++i) {
      EXPECT_EQ(sum.parameters[p].floats()[i], 2 * f.gradients.parameters[p].floats()[i]);
    }
  }
}

}  // namespace
}  // namespace ballast
