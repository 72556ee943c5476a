#include "bench/micro/bounds.h"

#include <gtest/gtest.h>

#include <limits>

namespace ballast::bench {
namespace {

TEST(Bounds, EndsWithZeroAndALineForEachBoundWhenAllAreMet) {
  Bounds bounds(false);

  testing::internal::CaptureStdout();
  bounds.at_least("speed", 0.7, 0.7);
  bounds.at_most("round trip", 1.25, 1.5);

  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "bound speed: 0.700 (>= 0.7): met\n"
            "bound round trip: 1.250 (<= 1.5): met\n");
  EXPECT_EQ(bounds.exit_code(), 0);
}

TEST(Bounds, EndsWithOneWhenAnyBoundIsMissed) {
  Bounds low(false), high(false), unknown(false);

  testing::internal::CaptureStdout();
  low.at_least("speed", 0.5, 0.7);
  low.at_least("speed, two lanes", 0.9, 0.7);
  high.at_most("round trip", 1.6, 1.5);
  unknown.at_most("round trip", std::numeric_limits<double>::quiet_NaN(), 1.5);

  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "bound speed: 0.500 (>= 0.7): missed\n"
            "bound speed, two lanes: 0.900 (>= 0.7): met\n"
            "bound round trip: 1.600 (<= 1.5): missed\n"
            "bound round trip: nan (<= 1.5): missed\n");
  EXPECT_EQ(low.exit_code(), 1);
  EXPECT_EQ(high.exit_code(), 1);
  EXPECT_EQ(unknown.exit_code(), 1);
}

TEST(Bounds, JudgesNothingWithTinySizes) {
  Bounds bounds(true);

  testing::internal::CaptureStdout();
  bounds.at_least("speed", 0.5, 0.7);

  EXPECT_EQ(testing::internal::GetCapturedStdout(), "bound speed: 0.500 (>= 0.7): missed\n");
  EXPECT_EQ(bounds.exit_code(), 0);
}

}  // namespace
}  // namespace ballast::bench
