#include "server/coordinator/lane_plan.h"

#include <gtest/gtest.h>

#include "server/coordinator/share_lanes.h"

namespace ballast {
namespace {

constexpr WorkerId kA(0);
constexpr WorkerId kB(1);
constexpr LaneId kLane(0);

// Two lanes, two units on two shards, eight steps.
LanePlan two_lanes() {
  return LanePlan(LaneSchedule(16, 2, 4, 2), {ShardId(0), ShardId(1)});
}

wire::FenceMarks marks(uint32_t shard, std::vector<Fence> fences, std::vector<Clock> clocks) {
  wire::FenceMarks answer;
  answer.shard = ShardId(shard);
  answer.fences = std::move(fences);
  answer.units = {{UnitId(shard), 0, 0, std::move(clocks)}};
  return answer;
}

// Both lanes belong to A, confirmed, at clock 0.
LanePlan owned_by_a() {
  LanePlan plan = two_lanes();
  plan.report(marks(0, {1, 1}, {0, 0}));
  plan.report(marks(1, {1, 1}, {0, 0}));
  plan.give({kA});
  plan.assigned(kA, LaneId(0), 1);
  plan.assigned(kA, LaneId(1), 1);
  return plan;
}

wire::LaneProgress at(Clock clock, bool busy = false, Fence fence = 1, uint64_t number = 1) {
  return {kLane, fence, number, clock, busy};
}

wire::Handing handing(Clock clock, bool done) {
  return {kA, kLane, 1, 1, clock, done};
}

// What its worker is told of the one lane.
wire::LaneAssignment assignment(const LanePlan& plan, LaneId lane) {
  return std::get<wire::Assign>(plan.assignments({lane}).at(0).message).lanes.at(0);
}

TEST(LanePlan, GivesNoLaneBeforeEveryUnitIsReported) {
  LanePlan plan = two_lanes();

  plan.report(marks(0, {1, 1}, {3, 4}));

  EXPECT_TRUE(plan.give({kA}).empty());
  EXPECT_EQ(plan.round().awaited(kLane), std::vector<ShardId>{ShardId(1)});
}

TEST(LanePlan, StartsALaneAtTheLeastMarkOfAllUnits) {
  LanePlan plan = two_lanes();
  plan.report(marks(0, {1, 1}, {3, 4}));
  plan.report(marks(1, {1, 1}, {5, 2}));

  EXPECT_EQ(plan.give({kA, kB}).size(), 2u);

  const auto first = assignment(plan, LaneId(0));
  const auto second = assignment(plan, LaneId(1));
  EXPECT_EQ(first.start, 3u);
  EXPECT_EQ(second.start, 2u);
  EXPECT_EQ(first.number, 1u);
  EXPECT_EQ(plan.assignments({LaneId(0)}).front().to, kA);
  EXPECT_EQ(plan.assignments({LaneId(1)}).front().to, kB);
}

TEST(LanePlan, TellsAWorkerOfAllItsLanesInOneMessage) {
  LanePlan plan = two_lanes();
  plan.report(marks(0, {1, 1}, {3, 4}));
  plan.report(marks(1, {1, 1}, {5, 2}));
  const std::vector<LaneId> given = plan.give({kB});

  const std::vector<LanePlan::Order> orders = plan.assignments(given);

  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].to, kB);
  EXPECT_EQ(std::get<wire::Assign>(orders[0].message).lanes.size(), 2u);
  EXPECT_EQ(plan.orders().size(), 1u);
}

TEST(LanePlan, TakesNoMarksUnderAnOldFence) {
  LanePlan plan = owned_by_a();
  plan.fence(kLane);

  plan.report(marks(0, {1, 1}, {3, 3}));
  plan.report(marks(1, {2, 1}, {3, 3}));
  EXPECT_TRUE(plan.give({kB}).empty());

  plan.report(marks(0, {2, 1}, {3, 3}));
  EXPECT_EQ(plan.give({kB}), std::vector<LaneId>{kLane});
}

TEST(LanePlan, ForgetsTheMarksOfARaisedFence) {
  LanePlan plan = two_lanes();
  plan.report(marks(0, {1, 1}, {0, 0}));
  plan.report(marks(1, {1, 1}, {0, 0}));

  plan.fence(kLane);

  EXPECT_EQ(plan.give({kA}), std::vector<LaneId>{LaneId(1)});
}

TEST(LanePlan, ForgetsTheMarksOfARestartedShard) {
  LanePlan plan = two_lanes();
  plan.report(marks(0, {1, 1}, {0, 0}));
  plan.forget(ShardId(0));
  plan.report(marks(1, {1, 1}, {0, 0}));

  EXPECT_TRUE(plan.give({kA}).empty());
}

TEST(LanePlan, RefusesMarksThatDoNotFit) {
  LanePlan plan = two_lanes();
  wire::FenceMarks foreign = marks(0, {1, 1}, {0, 0});
  foreign.units[0].unit = UnitId(1);  // of shard 1
  wire::FenceMarks moved = marks(0, {1, 1}, {0, 0});
  moved.units[0].epoch = 1;

  EXPECT_FALSE(plan.report(marks(0, {1}, {0, 0})));
  EXPECT_FALSE(plan.report(marks(0, {1, 1}, {0})));
  EXPECT_FALSE(plan.report(foreign));
  EXPECT_FALSE(plan.report(moved));
  EXPECT_FALSE(plan.report(marks(7, {1, 1}, {0, 0})));
}

TEST(LanePlan, RepeatsAnAssignmentUntilThatNumberIsConfirmed) {
  LanePlan plan = owned_by_a();
  plan.fence(kLane);
  plan.report(marks(0, {2, 1}, {3, 0}));
  plan.report(marks(1, {2, 1}, {3, 0}));
  plan.give({kB});

  plan.assigned(kB, kLane, 1);  // an answer to the assignment before
  plan.assigned(kA, kLane, 2);  // from somebody else
  plan.assigned(kB, LaneId(9), 2);
  EXPECT_EQ(plan.orders().size(), 1u);

  plan.assigned(kB, kLane, 2);
  EXPECT_TRUE(plan.orders().empty());
}

TEST(LanePlan, GivesNothingToNobody) {
  LanePlan plan = two_lanes();
  plan.report(marks(0, {1, 1}, {0, 0}));
  plan.report(marks(1, {1, 1}, {0, 0}));

  EXPECT_TRUE(plan.give({}).empty());
  EXPECT_EQ(plan.unowned().size(), 2u);
}

TEST(LanePlan, IsFinishedWhenTheOwnerOfEveryLaneHasItsLastPushAnswered) {
  LanePlan plan = owned_by_a();

  plan.progress(kA, at(kNever));
  EXPECT_FALSE(plan.all_finished());
  plan.progress(kA, {LaneId(1), 1, 1, kNever, true});
  EXPECT_FALSE(plan.all_finished());
  plan.progress(kA, {LaneId(1), 1, 1, kNever, false});

  EXPECT_TRUE(plan.all_finished());
  EXPECT_EQ(plan.least_clock(), 8u);
}

TEST(LanePlan, BelievesNoReportOfAnOldFenceOrNumberOrOwner) {
  LanePlan plan = owned_by_a();

  plan.progress(kB, at(5));
  plan.progress(kA, at(5, false, 0));
  plan.progress(kA, at(5, false, 1, 7));
  plan.progress(kA, {LaneId(77), 1, 1, 5, false});

  EXPECT_EQ(plan.clock(kLane), 0u);
}

TEST(LanePlan, NamesAClockTwoStepsAheadForAMove) {
  LanePlan plan = owned_by_a();
  plan.progress(kA, at(3, true));

  ASSERT_TRUE(plan.plan_move(kLane, kB));

  const auto order = std::get<wire::Handover>(plan.orders().back().message);
  EXPECT_EQ(order.clock, 6u);
  EXPECT_EQ(order.number, 1u);
  EXPECT_EQ(plan.orders().back().to, kA);
}

TEST(LanePlan, TellsTheNewOwnerOnlyWhenTheOldOneHasAgreed) {
  LanePlan plan = owned_by_a();
  plan.plan_move(kLane, kB);
  ASSERT_TRUE(plan.assignments({kLane}).empty());

  EXPECT_TRUE(plan.handing(kA, handing(4, false)));

  const auto assign = assignment(plan, kLane);
  EXPECT_EQ(plan.assignments({kLane}).front().to, kB);
  EXPECT_EQ(assign.start, 4u);
  EXPECT_EQ(assign.number, 2u);
  EXPECT_EQ(plan.owner(kLane), kA);
}

TEST(LanePlan, EndsAMoveWhenEveryPushOfTheOldOwnerIsAnswered) {
  LanePlan plan = owned_by_a();
  plan.plan_move(kLane, kB);
  plan.handing(kA, handing(4, false));

  EXPECT_TRUE(plan.handing(kA, handing(4, true)));

  EXPECT_EQ(plan.owner(kLane), kB);
  EXPECT_FALSE(plan.moving());
  EXPECT_EQ(plan.clock(kLane), 4u);
}

TEST(LanePlan, KeepsTheOldOwnersClockUntilTheMoveIsOver) {
  LanePlan plan = owned_by_a();
  plan.plan_move(kLane, kB);
  plan.handing(kA, handing(4, false));

  plan.progress(kB, {kLane, 1, 2, 5, false});
  EXPECT_EQ(plan.clock(kLane), 0u);
  plan.progress(kA, at(1));
  EXPECT_EQ(plan.clock(kLane), 1u);
}

TEST(LanePlan, IgnoresAHandingThatNobodyAskedFor) {
  LanePlan plan = owned_by_a();
  EXPECT_FALSE(plan.handing(kA, handing(4, true)));

  plan.plan_move(kLane, kB);
  EXPECT_FALSE(plan.handing(kB, handing(4, true)));
  EXPECT_FALSE(plan.handing(kA, handing(1, true)));  // below the clock asked for
  EXPECT_FALSE(plan.handing(kA, {kA, kLane, 2, 1, 4, true}));
  EXPECT_FALSE(plan.handing(kA, {kA, kLane, 1, 2, 4, true}));
  EXPECT_FALSE(plan.handing(kA, {kA, LaneId(9), 1, 1, 4, true}));
  EXPECT_TRUE(plan.moving());
}

TEST(LanePlan, PlansNoMoveThatIsNotPossible) {
  LanePlan plan = two_lanes();
  EXPECT_FALSE(plan.plan_move(kLane, kB));  // nobody has it

  plan = owned_by_a();
  EXPECT_FALSE(plan.plan_move(kLane, kA));  // has it already
  plan.progress(kA, {LaneId(1), 1, 1, kNever, false});
  EXPECT_FALSE(plan.plan_move(LaneId(1), kB));  // is done
  EXPECT_TRUE(plan.plan_move(kLane, kB));
  EXPECT_FALSE(plan.plan_move(kLane, kB));  // on its way
}

TEST(LanePlan, FencesALaneOnItsWayWhenEitherSideGoes) {
  for (WorkerId goes : {kA, kB}) {
    for (bool agreed : {false, true}) {
      LanePlan plan = owned_by_a();
      plan.plan_move(kLane, kB);
      if (agreed) plan.handing(kA, handing(4, false));

      EXPECT_EQ(plan.fence_lanes_of(goes), goes == kA ? 2u : 1u);

      EXPECT_FALSE(plan.owner(kLane));
      EXPECT_FALSE(plan.moving());
      EXPECT_EQ(plan.fences()[0], 2u);
    }
  }
}

TEST(LanePlan, SendsEverythingUnansweredAgainAfterARestart) {
  LanePlan plan = owned_by_a();
  plan.plan_move(kLane, kB);
  plan.handing(kA, handing(4, false));
  LanePlan restarted = two_lanes();

  restarted.restore(plan.save());

  EXPECT_EQ(restarted.save(), plan.save());
  EXPECT_EQ(restarted.orders().size(), 3u);  // both assignments and the handover
  EXPECT_TRUE(restarted.handing(kA, handing(4, true)));
  EXPECT_EQ(restarted.owner(kLane), kB);
}

// ---------------------------------------------------------------- who gets how many

std::vector<uint32_t> shared(uint32_t lanes, std::vector<LaneHolder> holders) {
  std::vector<LaneId> ids;
  for (uint32_t i = 0; i < lanes; ++i) ids.push_back(LaneId(i));
  std::vector<uint32_t> owners;
  for (WorkerId worker : share_lanes(ids, std::move(holders))) owners.push_back(worker.value());
  return owners;
}

TEST(ShareLanes, CutsEqualRunsOfNeighbours) {
  EXPECT_EQ(shared(4, {{kA}, {kB}}), (std::vector<uint32_t>{0, 0, 1, 1}));
  EXPECT_EQ(shared(5, {{kA}, {kB}, {WorkerId(2)}}), (std::vector<uint32_t>{0, 0, 1, 1, 2}));
  EXPECT_EQ(shared(1, {{kA}, {kB}}), (std::vector<uint32_t>{0}));
}

TEST(ShareLanes, GivesMostToWhoeverHasFewest) {
  EXPECT_EQ(shared(3, {{kA, 3}, {kB, 0}}), (std::vector<uint32_t>{1, 1, 1}));
  EXPECT_EQ(shared(2, {{kA, 1}, {kB, 1}}), (std::vector<uint32_t>{0, 1}));
}

}  // namespace
}  // namespace ballast
