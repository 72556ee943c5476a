#include "common/metrics/area_under_curve.h"

#include <gtest/gtest.h>

#include <limits>

#include "common/base/random.h"

namespace ballast {
namespace {

struct Data {
  std::vector<float> scores;
  std::vector<float> labels;
};

// Few distinct scores, so that ties are everywhere; +0 and -0 are the same score.
Data random_data(Random& random) {
  Data data;
  const size_t size = 2 + random.below(120);
  const auto distinct = static_cast<int64_t>(1 + random.below(40));
  for (size_t i = 0; i < size; ++i) {
    const auto score = static_cast<float>(random.between(-distinct, distinct)) * 0.25f;
    data.scores.push_back(score == 0 && random.chance(0.5) ? -0.0f : score);
    data.labels.push_back(random.chance(0.3) ? 1 : 0);
  }
  return data;
}

// The definition: every pair of a positive and a negative.
std::optional<double> by_pairs(const Data& data) {
  double won = 0, pairs = 0;
  for (size_t p = 0; p < data.scores.size(); ++p) {
    for (size_t n = 0; n < data.scores.size(); ++n) {
      if (data.labels[p] != 1 || data.labels[n] != 0) continue;
      pairs += 1;
      if (data.scores[p] > data.scores[n]) won += 1;
      if (data.scores[p] == data.scores[n]) won += 0.5;
    }
  }
  if (pairs == 0) return std::nullopt;
  return won / pairs;
}

TEST(AreaUnderCurve, EqualsTheCountOverAllPairsAlsoWithTies) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const Data data = random_data(random);
    ASSERT_EQ(area_under_curve(make_run(data.scores, data.labels)), by_pairs(data))
        << "seed " << seed;
  }
}

TEST(AreaUnderCurve, DoesNotDependOnCutsOrOrderOfMerging) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const Data data = random_data(random);
    const std::span<const float> scores(data.scores), labels(data.labels);
    ScoreRun merged;
    RunCollector collector;
    for (size_t begin = 0; begin < scores.size();) {
      const size_t count = 1 + random.below(scores.size() - begin);
      const ScoreRun part = make_run(scores.subspan(begin, count), labels.subspan(begin, count));
      merged = random.chance(0.5) ? merge_runs(merged, part) : merge_runs(part, merged);
      collector.add(part);
      begin += count;
    }
    ASSERT_EQ(merged, make_run(scores, labels)) << "seed " << seed;
    ASSERT_EQ(collector.take(), merged) << "seed " << seed;
    ASSERT_TRUE(collector.take().empty());
    ASSERT_EQ(area_under_curve(merged), by_pairs(data)) << "seed " << seed;
  }
}

TEST(AreaUnderCurve, OfPerfectReversedAndConstantScores) {
  const std::vector<float> labels = {0, 0, 1, 1}, rising = {1, 2, 3, 4}, falling = {4, 3, 2, 1},
                           flat = {7, 7, 7, 7};
  EXPECT_EQ(area_under_curve(make_run(rising, labels)), 1.0);
  EXPECT_EQ(area_under_curve(make_run(falling, labels)), 0.0);
  EXPECT_EQ(area_under_curve(make_run(flat, labels)), 0.5);
}

TEST(AreaUnderCurve, DoesNotExistWithAScoreThatIsNotANumber) {
  const ScoreRun run = {{1, 0}, {std::numeric_limits<float>::quiet_NaN(), 1}, {2, 1}};
  EXPECT_EQ(area_under_curve(run), std::nullopt);
}

TEST(AreaUnderCurve, DoesNotExistForOneKindOfLabel) {
  const std::vector<float> scores = {1, 2}, ones = {1, 1}, zeros = {0, 0};
  EXPECT_EQ(area_under_curve(make_run(scores, ones)), std::nullopt);
  EXPECT_EQ(area_under_curve(make_run(scores, zeros)), std::nullopt);
  EXPECT_EQ(area_under_curve({}), std::nullopt);
}

}  // namespace
}  // namespace ballast
