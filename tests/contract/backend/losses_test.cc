#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/contract/backend/backend_contract.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using testing::Floats;

class BackendLosses : public testing::BackendContract {
 protected:
  struct Found {
    Floats loss, correct, dz;
  };

  Found run(LossKind kind, const Floats& z, const Floats& labels, uint32_t rows) {
    const auto units = static_cast<uint32_t>(z.size() / rows);
    const Matrix loss = room(1, rows), correct = room(1, rows), dz = room(rows, units);
    const Matrix device_z = put(z, rows, units);
    const Matrix device_labels = put(labels, rows, static_cast<uint32_t>(labels.size() / rows));
    backend_->loss(stream_, kind, device_z, device_labels, {}, loss, correct, dz);
    const Found found{get(loss), get(correct), get(dz)};

    // Evaluation computes the same without dz, and dz may be z.
    const Matrix loss_only = room(1, rows), correct_only = room(1, rows);
    backend_->loss(stream_, kind, device_z, device_labels, {}, loss_only, correct_only, Matrix());
    expect_close(get(loss_only), {found.loss.begin(), found.loss.end()}, 0);
    EXPECT_EQ(get(correct_only), found.correct);
    EXPECT_EQ(get(device_z), z);
    backend_->loss(stream_, kind, device_z, device_labels, {}, loss, correct, device_z);
    EXPECT_EQ(get(device_z), found.dz);
    return found;
  }
};
INSTANTIATE_TEST_SUITE_P(All, BackendLosses, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

TEST_P(BackendLosses, SoftmaxCrossEntropyFollowsItsEquations) {
  for (const uint32_t units : {2u, 10u, 100u}) {
    constexpr uint32_t kRows = 6;
    const Floats z = random_floats(kRows * units, 3);
    Floats labels;
    for (uint32_t r = 0; r < kRows; ++r) labels.push_back(static_cast<float>(random_.below(units)));
    std::vector<double> loss(kRows), dz(z.size());
    Floats correct;
    for (uint32_t r = 0; r < kRows; ++r) {
      const float* row = z.data() + r * units;
      const auto label = static_cast<size_t>(labels[r]);
      double sum = 0;
      for (uint32_t c = 0; c < units; ++c) sum += std::exp(row[c]);
      loss[r] = std::log(sum) - row[label];
      for (uint32_t c = 0; c < units; ++c) {
        dz[r * units + c] = std::exp(row[c]) / sum - (c == label ? 1 : 0);
      }
      const auto best = static_cast<size_t>(std::max_element(row, row + units) - row);
      correct.push_back(best == label ? 1 : 0);
    }

    const Found found = run(LossKind::kSoftmaxCrossEntropy, z, labels, kRows);

    expect_close(found.loss, loss, units);
    expect_close(found.dz, dz, units);
    EXPECT_EQ(found.correct, correct);
  }
}

TEST_P(BackendLosses, SoftmaxHoldsForLargeOutputsAndTakesTheFirstOfEqualOnes) {
  const Found found =
      run(LossKind::kSoftmaxCrossEntropy, {5000, 0, -5000, 1, 1, 1, 1, 1, 1}, {0, 0, 1}, 3);
  EXPECT_THAT(found.correct, ElementsAre(1, 1, 0));
  EXPECT_NEAR(found.loss[0], 0, 1e-6);
  EXPECT_NEAR(found.loss[1], std::log(3.0), 1e-6);
  EXPECT_NEAR(found.dz[0], 0, 1e-6);

  const Found wrong = run(LossKind::kSoftmaxCrossEntropy, {5000, 0}, {1}, 1);
  EXPECT_EQ(wrong.loss[0], 5000.0f);
  EXPECT_NEAR(wrong.dz[0], 1, 1e-6);
  EXPECT_NEAR(wrong.dz[1], -1, 1e-6);
}

TEST_P(BackendLosses, SigmoidCrossEntropyFollowsItsEquations) {
  for (const uint32_t units : {1u, 5u}) {
    constexpr uint32_t kRows = 20;
    const Floats z = random_floats(kRows * units, 3);
    Floats labels;
    for (size_t i = 0; i < z.size(); ++i) labels.push_back(random_.chance(0.5) ? 1 : 0);
    std::vector<double> loss(kRows), dz(z.size());
    Floats correct(kRows);
    for (size_t i = 0; i < z.size(); ++i) {
      const double p = 1 / (1 + std::exp(-double{z[i]}));
      loss[i / units] -= (labels[i] == 1 ? std::log(p) : std::log(1 - p)) / units;
      dz[i] = (p - labels[i]) / units;
      correct[i / units] += (z[i] > 0) == (labels[i] == 1) ? 1 : 0;
    }

    const Found found = run(LossKind::kSigmoidCrossEntropy, z, labels, kRows);

    expect_close(found.loss, loss, 4);
    expect_close(found.dz, dz, 4);
    EXPECT_EQ(found.correct, correct);
  }
}

TEST_P(BackendLosses, SigmoidHoldsForLargeOutputs) {
  const Found found = run(LossKind::kSigmoidCrossEntropy, {300, -300, 300, -300}, {1, 0, 0, 1}, 4);
  EXPECT_THAT(found.loss, ElementsAre(0, 0, 300, 300));
  EXPECT_THAT(found.correct, ElementsAre(1, 1, 0, 0));
  EXPECT_NEAR(found.dz[2], 1, 1e-6);
  EXPECT_NEAR(found.dz[3], -1, 1e-6);
}

TEST_P(BackendLosses, MeanSquaredErrorIsTheMeanOverColumnsSummedOverRows) {
  const Found found = run(LossKind::kMeanSquaredError, {1, 2, 3, 4}, {0, 2, 5, 8}, 2);
  EXPECT_THAT(found.loss, ElementsAre(0.5f, 10));
  EXPECT_THAT(found.dz, ElementsAre(1, 0, -2, -4));
  EXPECT_THAT(found.correct, ElementsAre(0, 0));
}

// Weights times dz, as IEEE 754 rounds; losses and hits as without.
TEST_P(BackendLosses, WeighsTheDerivativeAndNothingElse) {
  const Floats weights = {1, 0.5f, 0, 3};
  for (const LossKind kind : {LossKind::kSoftmaxCrossEntropy, LossKind::kSigmoidCrossEntropy,
                              LossKind::kMeanSquaredError}) {
    const Floats z = random_floats(4 * 3, 2);
    const uint32_t label_width = kind == LossKind::kSoftmaxCrossEntropy ? 1 : 3;
    const Matrix device_z = put(z, 4, 3);
    const Matrix labels = put(Floats(4 * label_width, 1), 4, label_width);
    const Matrix loss = room(1, 4), correct = room(1, 4), dz = room(4, 3), plain = room(4, 3);
    backend_->loss(stream_, kind, device_z, labels, {}, loss, correct, plain);
    const Floats unweighted_loss = get(loss), unweighted_correct = get(correct);

    backend_->loss(stream_, kind, device_z, labels, put(weights, 1, 4), loss, correct, dz);

    Floats expected = get(plain);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] *= weights[i / 3];
    EXPECT_EQ(get(dz), expected);
    EXPECT_EQ(get(loss), unweighted_loss);
    EXPECT_EQ(get(correct), unweighted_correct);
  }
}

TEST_P(BackendLosses, GivesARowOfWeightZeroNoDerivativeEvenWhereItsLossIsInfinite) {
  const float infinite = std::numeric_limits<float>::infinity();
  const Matrix z = put({infinite, 0, 1, 0}, 2, 2), labels = put({0, 1}, 2, 1);
  const Matrix loss = room(1, 2), correct = room(1, 2), dz = room(2, 2);

  backend_->loss(stream_, LossKind::kSoftmaxCrossEntropy, z, labels, put({0, 1}, 1, 2), loss,
                 correct, dz);

  EXPECT_EQ(get(dz)[0], 0);
  EXPECT_EQ(get(dz)[1], 0);
  EXPECT_NE(get(dz)[2], 0);
}

TEST_P(BackendLosses, PredictsProbabilitiesOrValues) {
  const Floats z = random_floats(7 * 10, 2);
  const Matrix device_z = put(z, 7, 10), y = room(7, 10);

  backend_->predict(stream_, LossKind::kSoftmaxCrossEntropy, device_z, y);
  std::vector<double> expected(z.size());
  for (uint32_t r = 0; r < 7; ++r) {
    double sum = 0;
    for (uint32_t c = 0; c < 10; ++c) sum += std::exp(z[r * 10 + c]);
    for (uint32_t c = 0; c < 10; ++c) expected[r * 10 + c] = std::exp(z[r * 10 + c]) / sum;
  }
  expect_close(get(y), expected, 10);

  backend_->predict(stream_, LossKind::kSigmoidCrossEntropy, device_z, y);
  for (size_t i = 0; i < z.size(); ++i) expected[i] = 1 / (1 + std::exp(-double{z[i]}));
  expect_close(get(y), expected, 1);

  backend_->predict(stream_, LossKind::kMeanSquaredError, device_z, y);
  EXPECT_EQ(get(y), z);
}

}  // namespace
}  // namespace ballast
