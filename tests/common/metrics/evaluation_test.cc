#include "common/metrics/evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(Evaluation, AddsSlices) {
  MetricSums sums{.rows = 3, .weight_sum = 3, .loss_sum = 1.5, .correct = 2};
  sums.add({.rows = 1, .weight_sum = 1, .loss_sum = 0.5, .correct = 1});
  EXPECT_THAT(metrics_of(LossKind::kSoftmaxCrossEntropy, sums, {}),
              ElementsAre(Pair("loss", 0.5), Pair("accuracy", 0.75), Pair("log_loss", 0.5)));
}

TEST(Evaluation, GivesTheAreaForSigmoidWhenBothLabelsOccur) {
  const MetricSums sums{.rows = 4, .weight_sum = 4, .loss_sum = 2, .correct = 1};
  const ScoreRun both = {{0.1f, 0}, {0.2f, 1}, {0.3f, 0}, {0.4f, 1}};
  EXPECT_THAT(metrics_of(LossKind::kSigmoidCrossEntropy, sums, both),
              ElementsAre(Pair("loss", 0.5), Pair("accuracy", 0.25), Pair("log_loss", 0.5),
                          Pair("auc", 0.75)));
  EXPECT_THAT(metrics_of(LossKind::kSigmoidCrossEntropy, sums, std::span(both).first(1)),
              ElementsAre(Pair("loss", 0.5), Pair("accuracy", 0.25), Pair("log_loss", 0.5)));
}

TEST(Evaluation, GivesTheRootForMeanSquaredError) {
  const MetricSums sums{
      .rows = 2, .weight_sum = 2, .loss_sum = 9, .squared_error_sum = 36, .label_width = 2};
  EXPECT_THAT(metrics_of(LossKind::kMeanSquaredError, sums, {}),
              ElementsAre(Pair("loss", 4.5), Pair("rmse", 3.0)));
}

TEST(Evaluation, CountsARowAsOftenAsItWeighs) {
  const MetricSums sums{.rows = 3, .weight_sum = 0.5, .loss_sum = 2, .correct = 0.125};
  EXPECT_THAT(metrics_of(LossKind::kSoftmaxCrossEntropy, sums, {}),
              ElementsAre(Pair("loss", 4.0), Pair("accuracy", 0.25), Pair("log_loss", 4.0)));
}

TEST(Evaluation, IsEmptyWhenNoRowWeighsAnything) {
  EXPECT_TRUE(metrics_of(LossKind::kMeanSquaredError, {}, {}).empty());
  EXPECT_TRUE(metrics_of(LossKind::kMeanSquaredError, {.rows = 3}, {}).empty());
}

}  // namespace
}  // namespace ballast
