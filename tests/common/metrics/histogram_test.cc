#include "common/metrics/histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/random.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;

TEST(Histogram, CountsEachValueInItsBucket) {
  Histogram histogram;
  for (uint64_t value : {0, 2, 2, 1, 2}) histogram.add(value);
  EXPECT_THAT(histogram.buckets(), ElementsAre(1, 1, 3));
  EXPECT_EQ(histogram.count(), 5u);
  EXPECT_DOUBLE_EQ(histogram.mean(), 1.4);
  EXPECT_EQ(histogram.largest(), 2u);
}

TEST(Histogram, QuantilesAreThoseOfTheSortedValues) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    Histogram histogram;
    std::vector<uint64_t> values;
    for (size_t i = 0; i < 1 + seed; ++i) {
      values.push_back(random.below(30));
      histogram.add(values.back());
    }
    std::sort(values.begin(), values.end());
    for (uint64_t rank = 1; rank <= values.size(); ++rank) {
      // Just below rank / n, so that rounding of the product cannot reach the next one.
      const double share = (static_cast<double>(rank) - 0.5) / static_cast<double>(values.size());
      ASSERT_EQ(histogram.quantile(share), values[rank - 1]) << "seed " << seed;
    }
    ASSERT_EQ(histogram.quantile(0), values.front());
    ASSERT_EQ(histogram.quantile(1), values.back());
  }
}

TEST(Histogram, SharesTheLastBucketAboveItsLimitAndKeepsTheMean) {
  Histogram small(4), other(4);
  small.add(100);
  other.add(50);
  small.merge(other);
  EXPECT_THAT(small.buckets(), ElementsAre(0, 0, 0, 2));
  EXPECT_DOUBLE_EQ(small.mean(), 75);
}

TEST(Histogram, MergesAndTravelsAsBuckets) {
  Histogram a, b;
  a.add(1, 3);
  b.add(4);
  a.merge(Histogram::from_buckets(b.buckets()));
  EXPECT_THAT(a.buckets(), ElementsAre(0, 3, 0, 0, 1));
  EXPECT_DOUBLE_EQ(a.mean(), 7.0 / 4);
}

TEST(Histogram, IsZeroWhenEmpty) {
  EXPECT_EQ(Histogram().mean(), 0);
  EXPECT_EQ(Histogram().quantile(0.5), 0u);
  EXPECT_TRUE(Histogram().buckets().empty());
}

TEST(Counter, Adds) {
  Counter counter;
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.value, 42u);
}

}  // namespace
}  // namespace ballast
