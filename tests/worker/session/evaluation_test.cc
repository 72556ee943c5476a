// When a session evaluates, and until when it says the result.
#include <gtest/gtest.h>

#include "tests/worker/session/session_fixture.h"

namespace ballast {
namespace {

using SessionEvaluation = SessionFixture;

TEST_F(SessionEvaluation, EvaluatesInSyncBeforeItPushesFromTheVersion) {
  JobConfig job = small_job(Mode::kSync);
  job.resolved.test_rows = 8;
  start(job);
  assign(0, 2);  // the first step of epoch 1: epoch 0 is over

  bring_weights(2);

  const auto slices = all<session_effect::EvaluateSlices>();
  ASSERT_EQ(slices.size(), 1u);
  EXPECT_EQ(slices[0].lanes, std::vector<LaneId>{LaneId(0)});
  handle(session_event::EvaluationDone{slices[0].job, {{LaneId(0), {}}}, 0.1});
  ASSERT_TRUE(said<wire::EvalPart>().has_value());
  EXPECT_EQ(said<wire::EvalPart>()->evaluation, 1u);
  EXPECT_EQ(all<session_effect::Compute>().size(), 1u);
}

TEST_F(SessionEvaluation, RepeatsAnEvaluationPartUntilItIsAcknowledged) {
  JobConfig job = small_job(Mode::kSync);
  job.resolved.test_rows = 8;
  start(job);
  assign(0, 2);
  bring_weights(2);
  const auto slices = all<session_effect::EvaluateSlices>();
  handle(session_event::EvaluationDone{slices.at(0).job, {{LaneId(0), {}}}, 0.1});

  now_ += 10s;
  handle(session_event::Tick{});
  EXPECT_TRUE(said<wire::EvalPart>().has_value());
  hear(wire::EvalAck{1, 1, LaneId(0)});
  now_ += 10s;
  handle(session_event::Tick{});

  EXPECT_FALSE(said<wire::EvalPart>().has_value());
}

TEST_F(SessionEvaluation, EvaluatesASnapshotAgainWhenItWasLostWithItsShard) {
  JobConfig job = small_job(Mode::kAsync);
  job.resolved.test_rows = 8;
  start(job);
  hear(wire::Evaluate{1, 1, {LaneId(2)}});
  ASSERT_EQ(pulls_.at(UnitId(0)).snapshot, 1u);
  reply(pulls_.at(UnitId(0)).sequence, 0, wire::ReplyCode::kPassed, 0);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);

  hear(wire::Evaluate{1, 1, {LaneId(2)}});
  bring_weights(0);

  EXPECT_EQ(all<session_effect::EvaluateSlices>().size(), 1u);
}

}  // namespace
}  // namespace ballast
