// Which lanes a session has, and who may tell it so.
#include <gtest/gtest.h>

#include "tests/worker/session/session_fixture.h"

namespace ballast {
namespace {

using SessionLane = SessionFixture;

TEST_F(SessionLane, StartsAnAdoptedLaneThatIsNotAheadAtOnce) {
  start(Mode::kSync);
  assign(0, 1);
  bring_weights(1);
  compute();  // its pushes wait for the others, perhaps for the lane that comes now

  assign(1, 0);

  EXPECT_EQ(session_->tasks_in_flight(), 2u);
  EXPECT_EQ(pulls_.at(UnitId(0)).clock, 0u);
}

TEST_F(SessionLane, LeavesAnAdoptedLaneThatIsAheadForLater) {
  start(Mode::kSync);
  assign(0, 0);

  assign(1, 1);

  EXPECT_EQ(session_->tasks_in_flight(), 1u);
}

TEST_F(SessionLane, DropsALaneThatAShardCallsFenced) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();

  reply(pushes_.at(UnitId(0)).at(0).sequence, 0, wire::ReplyCode::kFenced, 0, 0, {},
        {{LaneId(0), 2}});

  EXPECT_TRUE(session_->progress(now_).lanes.empty());
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
  EXPECT_EQ(session_->client().in_flight_count(), 0u);
}

TEST_F(SessionLane, KeepsALaneItWasGivenAgainUnderThatFence) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const uint64_t old_push = pushes_.at(UnitId(0)).at(0).sequence;
  assign(0, 0, /*number=*/2, /*fence=*/2);

  reply(old_push, 0, wire::ReplyCode::kFenced, 0, 0, {}, {{LaneId(0), 2}});

  EXPECT_EQ(lane(0).fence, 2u);
}

TEST_F(SessionLane, IgnoresAnOlderAssignment) {
  start(Mode::kAsync);
  assign(0, 3, /*number=*/5, /*fence=*/2);

  assign(0, 0, /*number=*/4, /*fence=*/1);

  EXPECT_EQ(lane(0).clock, 3u);
  EXPECT_EQ(said<wire::Assigned>()->number, 4u) << "so that nobody repeats it";
}

TEST_F(SessionLane, IgnoresOrdersOfAnEarlierLeader) {
  start(Mode::kAsync);
  hear(wire::BeatAnswer{7, 0, 1});

  assign(0, 0);

  EXPECT_TRUE(session_->progress(now_).lanes.empty());
}

TEST_F(SessionLane, HandsALaneOverWhereItReallyStops) {
  start(Mode::kAsync);
  assign(0, 2);
  bring_weights(0);
  compute();

  hear(wire::Handover{1, LaneId(0), 1, 1, /*clock=*/1, 0});

  ASSERT_TRUE(said<wire::Handing>().has_value());
  EXPECT_EQ(said<wire::Handing>()->clock, 3u) << "step 2 is in flight";
  EXPECT_FALSE(said<wire::Handing>()->done);
  const auto pushes = pushes_;
  reply(pushes.at(UnitId(0)).at(0).sequence, 0, wire::ReplyCode::kApplied, 1);
  reply(pushes.at(UnitId(1)).at(0).sequence, 1, wire::ReplyCode::kApplied, 1);
  ASSERT_TRUE(said<wire::Handing>().has_value());
  EXPECT_TRUE(said<wire::Handing>()->done);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
}

TEST_F(SessionLane, StandsStillWhenPausedAndGoesOnToTheClockOfTheStop) {
  start(Mode::kSync);
  assign(0, 0);
  bring_weights(0);
  compute();
  hear(wire::Pause{1});
  ASSERT_TRUE(said<wire::Paused>().has_value());
  EXPECT_TRUE(said<wire::Paused>()->lanes.at(0).busy);
  answer_pushes(wire::ReplyCode::kClosed, 1);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);

  hear(wire::StopAt{1, 2});
  compute();
  answer_pushes(wire::ReplyCode::kClosed, 2);

  EXPECT_EQ(lane(0).clock, 2u);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
}

TEST_F(SessionLane, ReportsALaneWithoutRowsLeftOnceItsLastPushIsAnswered) {
  start(Mode::kAsync);
  assign(0, 3);
  bring_weights(0);
  compute();
  EXPECT_TRUE(lane(0).busy);

  answer_pushes(wire::ReplyCode::kApplied, 1);

  EXPECT_EQ(lane(0).clock, kNever);
  EXPECT_FALSE(lane(0).busy);
  EXPECT_TRUE(said<wire::WorkerProgress>().has_value()) << "at once";
}

}  // namespace
}  // namespace ballast
