#include "worker/data/prefetch_plan.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

std::vector<LaneId> lanes(std::initializer_list<uint32_t> numbers) {
  std::vector<LaneId> ids;
  for (uint32_t number : numbers) ids.emplace_back(number);
  return ids;
}

TEST(PrefetchPlan, AsksForEachLaneByItselfInSync) {
  PrefetchPlan plan(LaneSchedule(100, 4, 8, 10), /*lanes_together=*/false);
  plan.follow(lanes({1, 3}), 5);

  EXPECT_EQ(plan.upcoming(2),
            (std::vector<BatchRequest>{
                {lanes({1}), 5}, {lanes({3}), 5}, {lanes({1}), 6}, {lanes({3}), 6}}));
}

TEST(PrefetchPlan, AsksForTheLanesAtTheLowestClockTogetherOtherwise) {
  PrefetchPlan plan(LaneSchedule(100, 4, 8, 10), /*lanes_together=*/true);
  plan.follow(lanes({0, 1}), 5);
  plan.follow(lanes({2}), 6);

  EXPECT_EQ(plan.upcoming(2),
            (std::vector<BatchRequest>{{lanes({0, 1}), 5}, {lanes({0, 1, 2}), 6}}));
}

TEST(PrefetchPlan, PassesOverStepsALaneIsAbsentFromAndEndsWithTheJob) {
  // 5 rows, 4 lanes of one row a step: lane 0 has two steps an epoch, the others one.
  PrefetchPlan plan(LaneSchedule(5, 4, 4, 2), /*lanes_together=*/true);
  plan.follow(lanes({0, 1}), 0);

  EXPECT_EQ(plan.upcoming(9),
            (std::vector<BatchRequest>{
                {lanes({0, 1}), 0}, {lanes({0}), 1}, {lanes({0, 1}), 2}, {lanes({0}), 3}}));
}

TEST(PrefetchPlan, AsksForAllBatchesOfAStepOfOneLaneBeforeTheNextLane) {
  // Lanes of 13 and 12 rows, 2 a batch: 7 and 6 batches, in steps of 3, 3 and 1.
  const LaneSchedule schedule(25, 2, 4, 2, 0, Tail::kShort, /*local_steps=*/3);
  PrefetchPlan plan(schedule, /*lanes_together=*/false);
  plan.follow(lanes({0, 1}), 4);

  EXPECT_EQ(plan.upcoming(3), (std::vector<BatchRequest>{{lanes({0}), 4},
                                                         {lanes({0}), 5},
                                                         {lanes({1}), 4},
                                                         {lanes({1}), 5},
                                                         {lanes({0}), 6},
                                                         {lanes({0}), 7}}));
  plan.took(lanes({0}), 4);
  EXPECT_EQ(plan.upcoming(1), (std::vector<BatchRequest>{{lanes({0}), 5}, {lanes({1}), 4}}))
      << "as many as there are lanes";
}

TEST(PrefetchPlan, KeepsALaneThatIsBehindByBatchesOfOneStep) {
  PrefetchPlan plan(LaneSchedule(1000, 4, 8, 10, 0, Tail::kShort, /*local_steps=*/8), false);
  plan.follow(lanes({0, 1}), 0);

  for (Clock batch = 0; batch < 16; ++batch) plan.took(lanes({0}), batch);
  EXPECT_EQ(plan.lane_count(), 2u);
  plan.took(lanes({0}), 16);

  EXPECT_EQ(plan.lane_count(), 1u) << "two steps behind";
}

TEST(PrefetchPlan, DropsALaneThatFallsBehindTheStepsTaken) {
  PrefetchPlan plan(LaneSchedule(1000, 4, 8, 10), /*lanes_together=*/true);
  plan.follow(lanes({0, 1}), 5);

  plan.took(lanes({0}), 5);
  plan.took(lanes({0}), 6);
  EXPECT_EQ(plan.lane_count(), 2u);
  plan.took(lanes({0}), 7);

  EXPECT_EQ(plan.upcoming(1), (std::vector<BatchRequest>{{lanes({0}), 8}}));
}

}  // namespace
}  // namespace ballast
