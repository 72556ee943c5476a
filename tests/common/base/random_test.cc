#include "common/base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace ballast {
namespace {

TEST(Random, ASeedAlwaysGivesTheSameSequence) {
  Random first(42), again(42), other(43);

  for (int i = 0; i < 100; ++i) EXPECT_EQ(first.next(), again.next());
  EXPECT_NE(first.next(), other.next());
}

TEST(Random, BelowStaysBelowAndReachesEveryValue) {
  Random random(1);
  std::array<int, 7> seen{};

  for (int i = 0; i < 7000; ++i) ++seen.at(random.below(7));

  for (int count : seen) EXPECT_NEAR(count, 1000, 150);  // five standard deviations
}

TEST(Random, NormalHasMeanZeroAndVarianceOne) {
  Random random(2);
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;

  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }

  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1, 0.03);
}

TEST(HashNumbers, EveryPositionCounts) {
  EXPECT_NE(hash_numbers({1, 2}), hash_numbers({2, 1}));
  EXPECT_NE(hash_numbers({1}), hash_numbers({1, 0}));
}

TEST(UnitFloat, StaysBelowOne) {
  EXPECT_LT(unit_float(~0ull), 1.0f);
  EXPECT_LT(unit_double(~0ull), 1.0);
  EXPECT_EQ(unit_float(0), 0.0f);
}

}  // namespace
}  // namespace ballast
