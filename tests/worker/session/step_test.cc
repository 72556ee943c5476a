// What a step waits for, sends and does with its answers.
#include <gtest/gtest.h>

#include "tests/worker/session/session_fixture.h"

namespace ballast {
namespace {

using SessionStep = SessionFixture;

TEST_F(SessionStep, ComputesAStepWhenEveryUnitIsAtItsVersion) {
  start(Mode::kSync);
  assign(0, 0);
  EXPECT_TRUE(said<wire::Assigned>().has_value());
  reply(pulls_.at(UnitId(0)).sequence, 0, wire::ReplyCode::kWeights, 0);
  EXPECT_TRUE(all<session_effect::Compute>().empty());

  reply(pulls_.at(UnitId(1)).sequence, 1, wire::ReplyCode::kWeights, 0);

  ASSERT_EQ(all<session_effect::Compute>().size(), 1u);
  EXPECT_EQ(all<session_effect::Compute>()[0].clock, 0u);
}

TEST_F(SessionStep, SendsTheSumOfAnAlignedRangeAsOneNode) {
  start(Mode::kSync);
  for (uint32_t id : {0u, 1u, 3u}) assign(id, 0);  // lane 0 starts alone, the others join it
  bring_weights(0);

  std::vector<std::pair<uint32_t, uint32_t>> nodes;
  for (int job = 0; job < 3 && !all<session_effect::Compute>().empty(); ++job) compute();
  for (const wire::PushEntry& entry : pushes_[UnitId(0)]) {
    nodes.emplace_back(entry.node_low, entry.node_high);
  }

  EXPECT_EQ(nodes, (std::vector<std::pair<uint32_t, uint32_t>>{{0, 1}, {1, 2}, {3, 4}}));
  answer_pushes(wire::ReplyCode::kClosed, 1);
  compute();
  ASSERT_EQ(pushes_[UnitId(0)].size(), 2u);
  EXPECT_EQ(pushes_[UnitId(0)][0].node_high, 2u) << "lanes 0 and 1 travel as their sum";
  EXPECT_EQ(pushes_[UnitId(0)][0].lanes.size(), 2u);
}

TEST_F(SessionStep, NamesTheRowsOfEachLaneItPushes) {
  start(Mode::kSync);
  hear(wire::Assign{1, {{LaneId(0), 1, 1, 0}, {LaneId(1), 1, 1, 0}}, 0});
  bring_weights(0);

  compute();

  for (const auto& [unit, entries] : pushes_) {
    ASSERT_EQ(entries.size(), 1u);
    for (const wire::LaneStamp& stamp : entries[0].lanes) {
      EXPECT_EQ(stamp.rows_hash, hash_of(stamp.lane, 0)) << "unit " << unit.value();
    }
  }
}

TEST_F(SessionStep, BeginsItsFirstStepWithAllLanesOfAnAssignment) {
  start(Mode::kSync);
  hear(wire::Assign{1, {{LaneId(0), 1, 1, 0}, {LaneId(1), 1, 1, 0}}, 0});
  bring_weights(0);

  compute();

  ASSERT_EQ(pushes_[UnitId(0)].size(), 1u);
  EXPECT_EQ(pushes_[UnitId(0)][0].node_high, 2u) << "lanes 0 and 1 travel as their sum";
}

TEST_F(SessionStep, GoesOnOnlyWhenEveryPushIsAnswered) {
  start(Mode::kSync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const uint64_t second = pushes_.at(UnitId(1)).at(0).sequence;
  reply(pushes_.at(UnitId(0)).at(0).sequence, 0, wire::ReplyCode::kClosed, 1);
  EXPECT_EQ(lane(0).clock, 0u);

  reply(second, 1, wire::ReplyCode::kClosed, 1);

  EXPECT_EQ(lane(0).clock, 1u);
  EXPECT_EQ(all<session_effect::Compute>().at(0).clock, 1u) << "the replies brought the weights";
}

TEST_F(SessionStep, PassesAStepThatIsWholeInEveryUnit) {
  start(Mode::kSync);
  assign(0, 0);

  reply(pulls_.at(UnitId(0)).sequence, 0, wire::ReplyCode::kPassed, 0);

  EXPECT_EQ(lane(0).clock, 1u);
  EXPECT_TRUE(pushes_.empty());
}

TEST_F(SessionStep, ComputesAloneWhatASplitLeavesOver) {
  start(Mode::kAsync);
  assign(0, 0);
  assign(1, 1);
  bring_weights(5);
  compute();
  answer_pushes(wire::ReplyCode::kApplied, 6);
  compute();  // both lanes at clock 1, in one push a unit
  const wire::PushEntry both = pushes_.at(UnitId(0)).at(0);
  ASSERT_EQ(both.lanes.size(), 2u);
  pushes_.clear();

  reply(both.sequence, 0, wire::ReplyCode::kSplit, 8, 0, {LaneId(1)});

  ASSERT_EQ(all<session_effect::Compute>().size(), 1u);
  EXPECT_EQ(all<session_effect::Compute>()[0].groups.at(0).lanes, std::vector<LaneId>{LaneId(1)});
  compute();
  ASSERT_EQ(pushes_.size(), 1u) << "unit 1 still has its push";
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).lanes.size(), 1u);
}

TEST_F(SessionStep, NamesTheVersionItsGradientComesFrom) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(41);

  compute();

  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).base_version, 41u);
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).lanes.at(0).weight, 1.5) << "what compute() says";
}

TEST_F(SessionStep, ReadsAgainWhenWhatItHasIsTooOldForItsClock) {
  start(Mode::kSsp);  // staleness 1
  assign(0, 0);
  bring_weights(0, /*least_clock=*/0);
  compute();
  answer_pushes(wire::ReplyCode::kApplied, 1, /*least_clock=*/0);
  compute();  // clock 1: may lead by one

  answer_pushes(wire::ReplyCode::kApplied, 2, /*least_clock=*/0);

  EXPECT_TRUE(all<session_effect::Compute>().empty());
  EXPECT_EQ(pulls_.at(UnitId(0)).clock, 2u);
  bring_weights(5, /*least_clock=*/1);
  EXPECT_EQ(all<session_effect::Compute>().at(0).clock, 2u);
}

}  // namespace
}  // namespace ballast
