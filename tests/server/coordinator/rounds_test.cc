// Checkpoint rounds, evaluations and the stop, each alone.
#include <gtest/gtest.h>

#include <cstring>

#include "server/coordinator/checkpoint_rounds.h"
#include "server/coordinator/evaluation_round.h"
#include "server/coordinator/stop_round.h"

namespace ballast {
namespace {

// ---------------------------------------------------------------- checkpoints

wire::PartDone part(uint32_t shard, uint64_t checkpoint) {
  wire::PartDone done;
  done.shard = ShardId(shard);
  done.part.shard = shard;
  done.checkpoint = checkpoint;
  return done;
}

bool add(CheckpointRounds& rounds, uint32_t shard, uint64_t checkpoint) {
  return rounds.part(ShardId(shard), part(shard, checkpoint));
}

TEST(CheckpointRounds, CommitsInSyncWhatShardsCutByThemselves) {
  CheckpointRounds rounds(Mode::kSync, 10, 2);

  EXPECT_TRUE(add(rounds, 1, 10));
  EXPECT_FALSE(rounds.begin_commit());
  EXPECT_TRUE(add(rounds, 0, 10));

  const auto commit = rounds.begin_commit();
  ASSERT_TRUE(commit);
  EXPECT_EQ(commit->id, 10u);
  EXPECT_EQ(commit->clock, 10u);
  ASSERT_EQ(commit->parts.size(), 2u);
  EXPECT_EQ(commit->parts[0].shard, 0u);
}

TEST(CheckpointRounds, CommitsOneAtATimeTheNewestFirst) {
  CheckpointRounds rounds(Mode::kSync, 10, 1);
  add(rounds, 0, 10);
  ASSERT_EQ(rounds.begin_commit()->id, 10u);
  add(rounds, 0, 20);
  add(rounds, 0, 30);

  EXPECT_FALSE(rounds.begin_commit());
  rounds.committed(10);
  EXPECT_EQ(rounds.begin_commit()->id, 30u);
  rounds.committed(30);
  EXPECT_FALSE(rounds.begin_commit());
  EXPECT_EQ(rounds.last_committed(), 30u);
}

TEST(CheckpointRounds, DropsAnIncompleteRoundThatANewerOneOvertakes) {
  CheckpointRounds rounds(Mode::kSync, 10, 2);
  add(rounds, 0, 10);
  add(rounds, 0, 20);
  add(rounds, 1, 20);
  ASSERT_TRUE(rounds.begin_commit());
  rounds.committed(20);

  EXPECT_FALSE(add(rounds, 1, 10));
  EXPECT_FALSE(rounds.begin_commit());
}

TEST(CheckpointRounds, TakesNoPartThatNobodyAskedFor) {
  CheckpointRounds sync(Mode::kSync, 10, 2);
  CheckpointRounds async(Mode::kAsync, 10, 2);
  wire::PartDone stranger = part(1, 10);
  stranger.part.shard = 0;

  EXPECT_FALSE(add(sync, 0, 7));
  EXPECT_FALSE(add(sync, 2, 10));
  EXPECT_FALSE(sync.part(ShardId(1), stranger));
  EXPECT_FALSE(add(async, 0, 10));
}

TEST(CheckpointRounds, HoldsNoMoreThanAFewOpenRounds) {
  CheckpointRounds rounds(Mode::kSync, 1, 2);
  for (uint64_t id = 1; id <= 50; ++id) add(rounds, 0, id);

  add(rounds, 1, 2);  // its other part is forgotten
  EXPECT_FALSE(rounds.begin_commit());
  add(rounds, 1, 50);
  EXPECT_EQ(rounds.begin_commit()->id, 50u);
}

TEST(CheckpointRounds, OrdersInAsyncWhenTheLeastClockPasses) {
  CheckpointRounds rounds(Mode::kAsync, 10, 2);
  EXPECT_FALSE(rounds.due(9));
  ASSERT_EQ(rounds.due(27), 20u);

  rounds.order(20, 20);

  EXPECT_FALSE(rounds.due(39)) << "one at a time";
  EXPECT_EQ(rounds.awaited().size(), 2u);
  add(rounds, 1, 20);
  EXPECT_EQ(rounds.awaited(), std::vector<ShardId>{ShardId(0)});
  add(rounds, 0, 20);
  EXPECT_EQ(rounds.begin_commit()->clock, 20u);
  EXPECT_FALSE(rounds.due(39)) << "not before the commit";
  rounds.committed(20);
  EXPECT_EQ(rounds.due(39), 30u);
}

TEST(CheckpointRounds, NeverUsesANumberTwiceInAsync) {
  CheckpointRounds rounds(Mode::kAsync, 10, 1);
  rounds.order(20, 20);
  rounds.drop_order();
  EXPECT_FALSE(rounds.due(25));
  EXPECT_EQ(rounds.fresh_id(20), 21u);

  SavedState state;
  rounds.save(state);
  CheckpointRounds restarted(Mode::kAsync, 10, 1);
  restarted.restore(state);

  EXPECT_EQ(restarted.fresh_id(5), 21u);
  EXPECT_FALSE(restarted.due(25));
}

TEST(CheckpointRounds, LearnsOfACommitOfItsEarlierLife) {
  CheckpointRounds rounds(Mode::kSync, 10, 1);

  EXPECT_TRUE(rounds.committed(10));
  EXPECT_FALSE(rounds.committed(10));
  EXPECT_EQ(rounds.last_committed(), 10u);
}

// ---------------------------------------------------------------- evaluations

// Three steps an epoch, four epochs.
LaneSchedule schedule(uint64_t max_steps = 0) {
  return LaneSchedule(12, 2, 4, 4, max_steps);
}

TEST(EvaluationPlan, IsDueEverySoManyEpochsAndAtTheEnd) {
  const EvaluationPlan plan(schedule(), 3, true);

  EXPECT_FALSE(plan.due(0));
  EXPECT_FALSE(plan.due(1));
  EXPECT_TRUE(plan.due(3));
  EXPECT_TRUE(plan.due(4));
  EXPECT_FALSE(plan.due(5));
  EXPECT_FALSE(plan.due(6));
  EXPECT_EQ(plan.clock_of(3), 9u);
}

TEST(EvaluationPlan, ComesOnlyAtTheEndWhenNoEpochsAreNamed) {
  const EvaluationPlan plan(schedule(), 0, true);

  EXPECT_FALSE(plan.due(3));
  EXPECT_TRUE(plan.due(4));
  EXPECT_EQ(plan.passed(11), 0u);
}

TEST(EvaluationPlan, EndsInTheMiddleOfAnEpoch) {
  const EvaluationPlan plan(schedule(7), 1, true);

  EXPECT_EQ(plan.last(), 3u);
  EXPECT_EQ(plan.clock_of(3), 7u);
  EXPECT_EQ(plan.clock_of(2), 6u);
}

TEST(EvaluationPlan, PassesABoundaryWithTheSlowestLane) {
  const EvaluationPlan plan(schedule(), 1, true);

  EXPECT_EQ(plan.passed(2), 0u);
  EXPECT_EQ(plan.passed(3), 1u);
  EXPECT_EQ(plan.passed(8), 2u);
  EXPECT_EQ(plan.passed(12), 3u) << "the last one waits for the last push";
}

TEST(EvaluationPlan, IsNeverDueWithoutATestSet) {
  EXPECT_FALSE(EvaluationPlan(schedule(), 1, false).due(4));
}

wire::EvalPart eval_part(uint32_t lane, double loss, std::vector<float> pairs = {}) {
  wire::EvalPart part;
  part.worker = WorkerId(lane + 10);
  part.lane = LaneId(lane);
  part.sums = {lane + 1, lane + 0.5, loss, lane * 1.0, 0.5, Buffer()};
  if (!pairs.empty()) part.sums.scores = Buffer::copy_of(std::as_bytes(std::span(pairs)));
  return part;
}

TEST(EvaluationParts, AddsInLaneOrderWhateverTheOrderOfArrival) {
  // 1e16 + 1 - 1e16 depends on the order; lane order gives 0.
  EvaluationParts forth(3);
  EvaluationParts back(3);
  for (uint32_t lane : {0, 1, 2})
    forth.add(eval_part(lane, lane == 0 ? 1e16 : lane == 1 ? 1 : -1e16));
  for (uint32_t lane : {2, 1, 0})
    back.add(eval_part(lane, lane == 0 ? 1e16 : lane == 1 ? 1 : -1e16));

  EXPECT_EQ(forth.merged().loss_sum, 0);
  EXPECT_EQ(back.merged().loss_sum, 0);
  EXPECT_EQ(back.merged().rows, 6u);
  EXPECT_EQ(back.merged().correct, 3);
  EXPECT_EQ(back.merged().weight_sum, 4.5);
}

TEST(EvaluationParts, CountsTheFirstPartOfALaneOnly) {
  EvaluationParts parts(2);

  EXPECT_TRUE(parts.add(eval_part(1, 5)));
  EXPECT_FALSE(parts.add(eval_part(1, 5)));
  EXPECT_FALSE(parts.add(eval_part(2, 5)));

  EXPECT_EQ(parts.missing(), std::vector<LaneId>{LaneId(0)});
  EXPECT_EQ(parts.merged().loss_sum, 5);
  ASSERT_EQ(parts.senders().size(), 1u);
  EXPECT_EQ(parts.senders()[0].second, WorkerId(11));
}

TEST(EvaluationParts, MergesScoresIntoOneAscendingRun) {
  EvaluationParts parts(3);
  parts.add(eval_part(2, 0, {0.1f, 1, 0.9f, 0}));
  parts.add(eval_part(0, 0, {0.1f, 0, 0.5f, 1, 0.7f, 1}));

  const Buffer scores = parts.merged().scores;

  std::vector<float> pairs(scores.size() / sizeof(float));
  std::memcpy(pairs.data(), scores.data(), scores.size());
  EXPECT_EQ(pairs, (std::vector<float>{0.1f, 0, 0.1f, 1, 0.5f, 1, 0.7f, 1, 0.9f, 0}));
}

// ---------------------------------------------------------------- the stop

// Two lanes of worker 0, eight steps.
LanePlan owned() {
  LanePlan plan(LaneSchedule(16, 2, 4, 2), {ShardId(0)});
  wire::FenceMarks marks;
  marks.fences = {1, 1};
  marks.units = {{UnitId(0), 0, 0, {0, 0}}};
  plan.report(marks);
  plan.give({WorkerId(0)});
  return plan;
}

wire::LaneProgress lane(uint32_t id, Clock clock, bool busy) {
  return {LaneId(id), 1, 1, clock, busy};
}

TEST(StopRound, GoesOnToTheFurthestLaneInSync) {
  const LanePlan plan = owned();
  StopRound stop(Mode::kSync, LaneSchedule(16, 2, 4, 2));

  stop.report(plan, WorkerId(0), lane(0, 3, false), true);
  EXPECT_FALSE(stop.settle(plan));
  stop.report(plan, WorkerId(0), lane(1, 3, true), true);

  EXPECT_EQ(stop.settle(plan), 4u);
  EXPECT_EQ(stop.below(plan).size(), 2u);
  stop.report(plan, WorkerId(0), lane(0, 4, false), false);
  stop.report(plan, WorkerId(0), lane(1, 4, false), false);
  EXPECT_TRUE(stop.below(plan).empty());
}

// The owner that had begun step 3 and pushed it to unit 1 died; unit 1 has closed it.
TEST(StopRound, GoesOnToAStepThatSomeUnitHasClosed) {
  LanePlan plan(LaneSchedule(16, 2, 4, 2), {ShardId(0), ShardId(0)});
  wire::FenceMarks marks;
  marks.fences = {1, 1};
  marks.units = {{UnitId(0), 0, 3, {3, 3}}, {UnitId(1), 0, 4, {4, 4}}};
  plan.report(marks);
  plan.give({WorkerId(0)});
  LanePlan restarted(LaneSchedule(16, 2, 4, 2), {ShardId(0), ShardId(0)});
  restarted.restore(plan.save());
  StopRound stop(Mode::kSync, LaneSchedule(16, 2, 4, 2));

  stop.report(restarted, WorkerId(0), lane(0, 3, false), true);
  stop.report(restarted, WorkerId(0), lane(1, 3, false), true);

  EXPECT_EQ(stop.settle(restarted), 4u);
}

TEST(StopRound, StaysWhereItIsInAsync) {
  const LanePlan plan = owned();
  StopRound stop(Mode::kAsync, LaneSchedule(16, 2, 4, 2));
  stop.report(plan, WorkerId(0), lane(0, 3, false), true);
  stop.report(plan, WorkerId(0), lane(1, 6, true), true);

  EXPECT_EQ(stop.settle(plan), 0u);
  EXPECT_TRUE(stop.below(plan).empty());
}

TEST(StopRound, TakesAHeartbeatForNoPause) {
  const LanePlan plan = owned();
  StopRound stop(Mode::kSync, LaneSchedule(16, 2, 4, 2));

  stop.report(plan, WorkerId(0), lane(0, 3, false), false);
  stop.report(plan, WorkerId(0), lane(1, 3, false), true);

  EXPECT_EQ(stop.moving(plan), std::vector<LaneId>{LaneId(0)});
}

TEST(StopRound, AsksAgainWhenALaneGetsAnotherOwner) {
  LanePlan plan = owned();
  StopRound stop(Mode::kSync, LaneSchedule(16, 2, 4, 2));
  stop.report(plan, WorkerId(0), lane(0, 3, false), true);
  stop.report(plan, WorkerId(0), lane(1, 3, false), true);

  plan.fence(LaneId(1));

  EXPECT_EQ(stop.moving(plan), std::vector<LaneId>{LaneId(1)});
  EXPECT_FALSE(stop.settle(plan));
}

TEST(StopRound, StopsAtTheLastStepWhenALaneIsThrough) {
  const LanePlan plan = owned();
  StopRound stop(Mode::kSync, LaneSchedule(16, 2, 4, 2));
  stop.report(plan, WorkerId(0), lane(0, kNever, false), true);
  stop.report(plan, WorkerId(0), lane(1, 7, true), true);

  EXPECT_EQ(stop.settle(plan), 8u);
}

}  // namespace
}  // namespace ballast
