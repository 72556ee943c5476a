#include "common/config/lane_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(LaneChoice, SyncTakesThePowerOfTwoThatHoldsTheWorkers) {
  EXPECT_EQ(default_lanes(Mode::kSync, 256, 1).value(), 1u);
  EXPECT_EQ(default_lanes(Mode::kSync, 256, 3).value(), 4u);
  EXPECT_EQ(default_lanes(Mode::kSync, 256, 4).value(), 4u);
}

TEST(LaneChoice, SyncMovesUpToADivisorThenDownToTheWorkers) {
  EXPECT_EQ(default_lanes(Mode::kSync, 50, 3).value(), 5u);
  EXPECT_EQ(default_lanes(Mode::kSync, 3, 3).value(), 3u);
}

TEST(LaneChoice, AsyncTakesTheLargestDivisorUpToEightPerWorker) {
  EXPECT_EQ(default_lanes(Mode::kAsync, 256, 2).value(), 16u);
  EXPECT_EQ(default_lanes(Mode::kSsp, 100, 2).value(), 10u);
  EXPECT_EQ(default_lanes(Mode::kAsync, 4, 1).value(), 4u);
}

TEST(LaneChoice, AlwaysDividesTheBatchAndHoldsTheWorkers) {
  for (Mode mode : {Mode::kSync, Mode::kSsp, Mode::kAsync}) {
    for (uint32_t batch = 1; batch <= 300; ++batch) {
      for (uint32_t workers = 1; workers <= 9; ++workers) {
        const Result<uint32_t> lanes = default_lanes(mode, batch, workers);
        bool possible = false;
        for (uint32_t l = workers; l <= 8 * workers; ++l) possible |= batch % l == 0;
        ASSERT_EQ(lanes.ok(), possible) << batch << " " << workers;
        if (!lanes.ok()) continue;
        ASSERT_EQ(batch % *lanes, 0u);
        ASSERT_GE(*lanes, workers);
        ASSERT_LE(*lanes, 8 * workers);
      }
    }
  }
}

TEST(LaneChoice, NamesTheNearestBatchWhenNoDivisorSuits) {
  const Result<uint32_t> lanes = default_lanes(Mode::kAsync, 127, 2);

  EXPECT_EQ(lanes.status().code(), Code::kInvalidInput);
  EXPECT_THAT(lanes.status().to_string(),
              HasSubstr("train.batch = 127 has no divisor from 2 to 16"));
  EXPECT_THAT(lanes.status().to_string(), HasSubstr("nearest batch: 126, 128"));
}

TEST(LaneChoice, FindsTheNearestLegalValues) {
  EXPECT_THAT(nearest_lanes(3, 256, 1), ElementsAre(2, 4));
  EXPECT_THAT(nearest_lanes(3, 256, 3), ElementsAre(4));
  EXPECT_THAT(nearest_lanes(300, 256, 1), ElementsAre(256));
  EXPECT_THAT(nearest_lanes(60, 127, 2), ElementsAre(127));
  EXPECT_THAT(nearest_batches(3, 256), ElementsAre(255, 258));
  EXPECT_THAT(nearest_batches(300, 256), ElementsAre(300));
}

}  // namespace
}  // namespace ballast
