// Every layer, activation and loss: the step's float gradients against central differences of the
// double-precision reference.
//
// Tolerance: a gradient is a float32 sum of n * width terms at most (here < 1000) of products of a
// few rounded factors, so its error is a few units of 2^-24 times the sum of the terms' sizes;
// with terms of size about 1 that is some 1e-5. We allow 2e-5 * rows + 1e-4 of the value. A wrong
// factor, index or sign is off by whole percents; ToleranceWouldSeeAnError proves it.
#include <gtest/gtest.h>

#include <cmath>

#include "common/config/choices.h"
#include "tests/worker/train_step/step_fixture.h"

namespace ballast {
namespace {

using testing::ReferenceCase;

double tolerance(const ReferenceCase& c, double expected) {
  return 2e-5 * c.rows + 1e-4 * std::abs(expected);
}

// The largest error of any gradient element, in units of the tolerance; the loss is checked too.
double worst_error(ReferenceCase c, Device device = Device::kCpu) {
  const auto backend = make_backend(device, {}).value();
  const auto step = testing::step_of(c, *backend, c.rows + 3);
  GradientSet gradients = testing::gradients_for(*step);

  const auto result = step->run(testing::rows_of(c), testing::context_of(c), gradients);

  EXPECT_TRUE(result.ok()) << result.status().to_string();
  const double loss = testing::reference_loss(c);
  EXPECT_NEAR(result->loss_sum, loss, tolerance(c, loss));
  double worst = 0;
  for (size_t p = 0; p < c.parameters.size(); ++p) {
    for (size_t i = 0; i < c.parameters[p].size(); ++i) {
      const double expected = testing::reference_derivative(c, p, i);
      const double error = std::abs(gradients.parameters[p].floats()[i] - expected);
      worst = std::max(worst, error / tolerance(c, expected));
    }
  }
  return worst;
}

LayerConfig dense(uint32_t units, Activation activation = Activation::kNone, bool bias = true) {
  return {.kind = LayerKind::kDense, .units = units, .activation = activation, .bias = bias};
}

class ActivationGradient : public ::testing::TestWithParam<Activation> {};

TEST_P(ActivationGradient, FollowsFiniteDifferences) {
  for (uint32_t rows : {1u, 7u, 33u}) {
    ModelConfig model;
    model.layers = {dense(19, GetParam()), dense(6, GetParam()), dense(5)};
    EXPECT_LT(worst_error(testing::random_case(model, 9, 5, rows, 11 + rows)), 1.0) << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ActivationGradient,
                         ::testing::Values(Activation::kNone, Activation::kRelu, Activation::kGelu,
                                           Activation::kTanh, Activation::kSigmoid));

class LossGradient : public ::testing::TestWithParam<LossKind> {};

TEST_P(LossGradient, FollowsFiniteDifferences) {
  for (uint32_t units : {2u, 3u, 40u}) {
    ModelConfig model;
    model.loss = GetParam();
    model.layers = {dense(8, Activation::kTanh), dense(units)};
    EXPECT_LT(worst_error(testing::random_case(model, 4, units, 6, units)), 1.0) << units;
  }
}

TEST_P(LossGradient, FollowsFiniteDifferencesOfOneOutput) {
  if (GetParam() == LossKind::kSoftmaxCrossEntropy) return;  // needs two classes
  ModelConfig model;
  model.loss = GetParam();
  model.layers = {dense(1, Activation::kNone, false)};
  EXPECT_LT(worst_error(testing::random_case(model, 12, 1, 5, 3)), 1.0);
}

TEST_P(LossGradient, FollowsFiniteDifferencesOfAWeightedLoss) {
  ModelConfig model;
  model.loss = GetParam();
  model.layers = {dense(8, Activation::kTanh), {.kind = LayerKind::kLayerNorm}, dense(3)};
  ReferenceCase c = testing::random_case(model, 4, 3, 6, 9);
  c.weights = {0.25f, 3, 0, 1, 7.5f, 0};

  EXPECT_LT(worst_error(c), 1.0);
}

INSTANTIATE_TEST_SUITE_P(All, LossGradient,
                         ::testing::Values(LossKind::kSoftmaxCrossEntropy,
                                           LossKind::kSigmoidCrossEntropy,
                                           LossKind::kMeanSquaredError));

TEST(LayerGradient, OfLayerNormFollowsFiniteDifferences) {
  ModelConfig model;
  model.layers = {{.kind = LayerKind::kLayerNorm},
                  dense(21, Activation::kGelu),
                  {.kind = LayerKind::kLayerNorm, .epsilon = 1e-3},
                  dense(4)};
  EXPECT_LT(worst_error(testing::random_case(model, 18, 4, 9, 5)), 1.0);
}

TEST(LayerGradient, OfDropoutFollowsFiniteDifferences) {
  ModelConfig model;
  model.layers = {{.kind = LayerKind::kDropout, .rate = 0.2},
                  dense(17, Activation::kRelu),
                  {.kind = LayerKind::kDropout, .rate = 0.5},
                  dense(3),
                  {.kind = LayerKind::kDropout, .rate = 0.1}};
  EXPECT_LT(worst_error(testing::random_case(model, 11, 3, 8, 6)), 1.0);
}

ModelConfig model_with_everything() {
  ModelConfig model;
  model.loss = LossKind::kSigmoidCrossEntropy;
  model.layers = {dense(12, Activation::kSigmoid),
                  {.kind = LayerKind::kLayerNorm},
                  {.kind = LayerKind::kDropout, .rate = 0.3},
                  dense(10, Activation::kTanh, false),
                  {.kind = LayerKind::kDropout, .rate = 0.3},
                  {.kind = LayerKind::kLayerNorm},
                  dense(3)};
  return model;
}

TEST(LayerGradient, OfAModelWithEverythingFollowsFiniteDifferences) {
  EXPECT_LT(worst_error(testing::random_case(model_with_everything(), 5, 3, 10, 8)), 1.0);
}

// The same on every other device, which is skipped where it is not.
class DeviceGradient : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    const Status there = check_device(GetParam());
    if (!there.ok()) GTEST_SKIP() << there.to_string();
  }
};

TEST_P(DeviceGradient, OfEveryActivationFollowsFiniteDifferences) {
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                Activation::kTanh, Activation::kSigmoid}) {
    ModelConfig model;
    model.layers = {dense(19, activation), dense(6, activation), dense(5)};
    EXPECT_LT(worst_error(testing::random_case(model, 9, 5, 33, 44), GetParam()), 1.0)
        << name_of(activation);
  }
}

TEST_P(DeviceGradient, OfEveryWeightedLossFollowsFiniteDifferences) {
  for (LossKind loss : {LossKind::kSoftmaxCrossEntropy, LossKind::kSigmoidCrossEntropy,
                        LossKind::kMeanSquaredError}) {
    ModelConfig model;
    model.loss = loss;
    model.layers = {dense(8, Activation::kTanh), {.kind = LayerKind::kLayerNorm}, dense(3)};
    ReferenceCase c = testing::random_case(model, 4, 3, 6, 9);
    c.weights = {0.25f, 3, 0, 1, 7.5f, 0};
    EXPECT_LT(worst_error(c, GetParam()), 1.0) << name_of(loss);
  }
}

TEST_P(DeviceGradient, OfAModelWithEverythingFollowsFiniteDifferences) {
  const ReferenceCase c = testing::random_case(model_with_everything(), 5, 3, 10, 8);
  EXPECT_LT(worst_error(c, GetParam()), 1.0);
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceGradient, ::testing::Values(Device::kCuda),
                         [](const auto& device) {
                           return device.param == Device::kCuda ? "Cuda" : "Cpu";
                         });

TEST(LayerGradient, ToleranceWouldSeeAnError) {
  ModelConfig model;
  model.layers = {dense(19, Activation::kRelu), dense(5)};
  ReferenceCase c = testing::random_case(model, 9, 5, 7, 1);
  const auto backend = testing::cpu_backend();
  const auto step = testing::step_of(c, *backend, c.rows);
  GradientSet gradients = testing::gradients_for(*step);
  ASSERT_TRUE(step->run(testing::rows_of(c), testing::context_of(c), gradients).ok());

  c.labels[0] = c.labels[0] == 0 ? 1 : 0;  // one label of seven is another one

  size_t seen = 0;
  for (size_t i = 0; i < c.parameters[3].size(); ++i) {
    const double expected = testing::reference_derivative(c, 3, i);
    const double error = std::abs(gradients.parameters[3].floats()[i] - expected);
    if (error > 20 * tolerance(c, expected)) ++seen;
  }
  EXPECT_GE(seen, 2u);
}

}  // namespace
}  // namespace ballast
