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

// A batch of 12 rows in three parts: the sums are those of the whole, as far as float sums go, and
// the hook of gradients is called in the last part only.
TEST(TrainStep, SumsTheGradientsOfSeveralBatches) {
  ModelConfig model = small_model();
  model.layers.erase(model.layers.begin() + 1);  // dropout has other masks in other rows
  const ReferenceCase c = testing::random_case(model, 6, 4, 12, 21);
  const auto backend = testing::cpu_backend();
  const auto whole_step = testing::step_of(c, *backend, 12);
  GradientSet whole = testing::gradients_for(*whole_step);
  const StepRows rows = testing::rows_of(c);
  const StepResult expected = whole_step->run(rows, testing::context_of(c), whole).value();
  const auto step = testing::step_of(c, *backend, 12, /*sums_batches=*/true);
  GradientSet sums = testing::gradients_for(*step);
  for (Buffer& sum : sums.parameters) std::ranges::fill(sum.floats(), 1e30f);

  StepResult found;
  std::vector<uint32_t> final_layers;
  for (uint32_t part = 0; part < 3; ++part) {
    StepContext context = testing::context_of(c);
    context.first = part == 0;
    context.last = part == 2;
    StepHooks hooks;
    hooks.gradient_final = [&](uint32_t layer) {
      EXPECT_EQ(part, 2u);
      final_layers.push_back(layer);
      return Status();
    };
    const StepRows four{rows.features.subspan(size_t{part} * 4 * 6, 4 * 6),
                        rows.labels.subspan(part * 4, 4),
                        rows.weights.empty() ? rows.weights : rows.weights.subspan(part * 4, 4), 4};
    const StepResult result = step->run(four, context, sums, hooks).value();
    found.loss_sum += result.loss_sum;
    found.weight_sum += result.weight_sum;
  }

  EXPECT_EQ(final_layers, (std::vector<uint32_t>{2, 1, 0}));
  EXPECT_NEAR(found.loss_sum, expected.loss_sum, 1e-5);
  EXPECT_EQ(found.weight_sum, expected.weight_sum);
  for (size_t p = 0; p < whole.parameters.size(); ++p) {
    for (size_t i = 0; i < whole.parameters[p].floats().size(); ++i) {
      // Twelve terms of size about 1 in another order.
      ASSERT_NEAR(sums.parameters[p].floats()[i], whole.parameters[p].floats()[i], 2e-5);
    }
  }
}

TEST(TrainStep, FindsABadGradientOfAnEarlierBatchOfTheSum) {
  Fixture f;
  const auto step = testing::step_of(f.c, *f.backend, 16, /*sums_batches=*/true);
  const std::vector<float> heavy(f.c.rows, std::numeric_limits<float>::max());
  StepRows rows = testing::rows_of(f.c);
  rows.weights = heavy;  // losses are finite, sums of derivatives are not
  StepContext context = testing::context_of(f.c);
  context.last = false;

  ASSERT_TRUE(step->run(rows, context, f.gradients).ok());
  context.first = false;
  context.last = true;
  const auto result = step->run(testing::rows_of(f.c), context, f.gradients);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), Code::kDiverged);
  EXPECT_THAT(result.status().to_string(), HasSubstr("bad gradient: a value of"));
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

TEST(TrainStep, DropsOtherValuesForAnotherSeedBatchOrLane) {
  Fixture f;
  ASSERT_TRUE(f.run().ok());
  GradientSet first = testing::gradients_for(*f.step);
  std::swap(first, f.gradients);
  const StepContext base = testing::context_of(f.c);

  for (StepContext other : {StepContext{base.seed + 1, base.batch, base.lane},
                            StepContext{base.seed, base.batch + 1, base.lane},
                            StepContext{base.seed, base.batch, LaneId(base.lane.value() + 1)}}) {
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
  EXPECT_THAT(result.status().to_string(), HasSubstr("bad loss: that of row 5"));
}

TEST(TrainStep, CallsARowByTheNameThatTheCallerGivesIt) {
  Fixture f;
  f.c.features[5 * 6 + 2] = std::numeric_limits<float>::quiet_NaN();
  StepHooks hooks;
  hooks.row_name = [](uint32_t row) { return "block 3, row " + std::to_string(40 + row); };

  const auto result = f.run(hooks);

  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.status().to_string(), HasSubstr("bad loss: that of block 3, row 45 is NaN"));
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
