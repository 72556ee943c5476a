#include "worker/model/model_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace ballast {
namespace {

using ::testing::HasSubstr;

ModelConfig model(LossKind loss, std::vector<LayerConfig> layers) {
  return {.loss = loss, .layers = std::move(layers)};
}
LayerConfig dense(uint32_t units) {
  return {.kind = LayerKind::kDense, .units = units};
}

void expect_refused(const ModelConfig& config, uint32_t input, uint32_t label,
                    const std::string& text) {
  const Status status = check_model(config, input, label);
  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(), HasSubstr(text));
}

TEST(ModelCheck, AcceptsWhatFits) {
  EXPECT_TRUE(check_model(model(LossKind::kSoftmaxCrossEntropy, {dense(10)}), 64, 1).ok());
  EXPECT_TRUE(check_model(model(LossKind::kSigmoidCrossEntropy, {dense(1)}), 64, 1).ok());
  EXPECT_TRUE(check_model(model(LossKind::kMeanSquaredError, {dense(3)}), 64, 3).ok());
  // A last layer that is not dense passes its width on.
  EXPECT_TRUE(
      check_model(model(LossKind::kMeanSquaredError, {dense(3), {.kind = LayerKind::kLayerNorm}}),
                  64, 3)
          .ok());
}

TEST(ModelCheck, NamesTheLayerThatDoesNotFit) {
  const auto softmax = LossKind::kSoftmaxCrossEntropy;
  expect_refused(model(softmax, {dense(8), dense(0)}), 4, 1, "layer 1 (dense)");
  expect_refused(model(softmax, {dense(8), {.kind = LayerKind::kDropout, .rate = 1}, dense(2)}), 4,
                 1, "layer 1 (dropout): rate is 1");
  expect_refused(model(softmax, {{.kind = LayerKind::kLayerNorm, .epsilon = 0}, dense(2)}), 4, 1,
                 "layer 0 (layer_norm): epsilon is 0");
}

TEST(ModelCheck, NamesTheLossThatDoesNotFitTheLastLayer) {
  expect_refused(model(LossKind::kSoftmaxCrossEntropy, {dense(10)}), 4, 2, "found 2 columns");
  expect_refused(model(LossKind::kSoftmaxCrossEntropy, {dense(1)}), 4, 1, "at least 2");
  expect_refused(model(LossKind::kSigmoidCrossEntropy, {dense(5), dense(2)}), 4, 1,
                 "layer 1 puts out 2 values per row and the label has 1");
  expect_refused(model(LossKind::kMeanSquaredError, {dense(1)}), 4, 3, "dense layer to 3");
}

TEST(ModelCheck, RefusesAModelWithoutParametersOrWithoutInput) {
  expect_refused(model(LossKind::kMeanSquaredError, {}), 4, 4, "no layer has parameters");
  expect_refused(model(LossKind::kMeanSquaredError, {{.kind = LayerKind::kDropout}}), 4, 4,
                 "no layer has parameters");
  expect_refused(model(LossKind::kMeanSquaredError, {dense(1)}), 0, 1, "width 0");
}

TEST(LabelCheck, KnowsWhatEachLossTakes) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto refused = [](LossKind loss, float label) {
    const std::vector<float> labels = {0, 1, label, 1};
    return check_labels(loss, 3, labels, 4);
  };
  EXPECT_TRUE(refused(LossKind::kSoftmaxCrossEntropy, 2).ok());
  EXPECT_TRUE(refused(LossKind::kMeanSquaredError, -7.5f).ok());
  for (float label : {3.0f, -1.0f, 0.5f, nan, infinity}) {
    const Status status = refused(LossKind::kSoftmaxCrossEntropy, label);
    EXPECT_EQ(status.code(), Code::kInvalidInput) << label;
    EXPECT_THAT(status.to_string(), HasSubstr("row 2"));
    EXPECT_THAT(status.to_string(), HasSubstr("from 0 to 2"));
  }
  for (float label : {0.5f, 2.0f, -1.0f, nan}) {
    EXPECT_FALSE(refused(LossKind::kSigmoidCrossEntropy, label).ok()) << label;
  }
  EXPECT_FALSE(refused(LossKind::kMeanSquaredError, nan).ok());
  EXPECT_FALSE(refused(LossKind::kMeanSquaredError, infinity).ok());
}

TEST(LabelCheck, CountsRowsNotValues) {
  const std::vector<float> labels = {0, 1, 0, 1, 1, 7};  // three rows of two
  EXPECT_THAT(check_labels(LossKind::kSigmoidCrossEntropy, 2, labels, 3).to_string(),
              HasSubstr("row 2: found 7"));
}

TEST(ModelDescription, GivesALineALayerWithShapesAndCounts) {
  LayerConfig hidden = dense(512);
  hidden.activation = Activation::kRelu;
  const std::string text = describe_model(
      model(LossKind::kSoftmaxCrossEntropy, {hidden,
                                             {.kind = LayerKind::kDropout, .rate = 0.5},
                                             {.kind = LayerKind::kLayerNorm},
                                             dense(10)}),
      784);
  EXPECT_THAT(text, HasSubstr("layer 0: dense      [784 -> 512] relu, 401920 parameters\n"));
  EXPECT_THAT(text, HasSubstr("layer 1: dropout    [512] rate 0.5, 0 parameters\n"));
  EXPECT_THAT(text, HasSubstr("layer 2: layer_norm [512] epsilon 1e-05, 1024 parameters\n"));
  EXPECT_THAT(text, HasSubstr("layer 3: dense      [512 -> 10], 5130 parameters\n"));
  EXPECT_THAT(text, HasSubstr("softmax_cross_entropy, 408074 parameters, 1.56 MiB"));
}

}  // namespace
}  // namespace ballast
