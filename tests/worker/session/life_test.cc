// How a session joins, for how long it goes on without an answer, and how it ends.
#include <gtest/gtest.h>

#include "tests/worker/session/session_fixture.h"

namespace ballast {
namespace {

using SessionLife = SessionFixture;

TEST_F(SessionLife, ConnectsToTheShardsOfAView) {
  start(Mode::kSync);

  const auto connects = all<session_effect::Connect>();
  ASSERT_EQ(connects.size(), 1u);
  EXPECT_EQ(connects[0].endpoint, "shard");
  hear(view(1, 9));
  EXPECT_TRUE(all<session_effect::Connect>().empty()) << "not newer";
  hear(view(2, 9));
  EXPECT_EQ(all<session_effect::Connect>().at(0).shard.incarnation, 9u);
}

TEST_F(SessionLife, JoinsAgainWhenTheCoordinatorWasRestarted) {
  start(Mode::kAsync);

  hear(wire::BeatAnswer{2, 0, 1});

  EXPECT_TRUE(said<wire::Join>().has_value());
}

TEST_F(SessionLife, ReportsWhatTheLoaderSaidLast) {
  start(Mode::kSync);
  handle(session_event::ComputeDone{.job = 1, .loader = {5, 2, 90, 6, 12}});

  const wire::LoaderProgress loader = session_->progress(now_).loader;

  EXPECT_EQ(loader.ready, 5u);
  EXPECT_EQ(loader.blocks_min, 12u);
}

TEST_F(SessionLife, EndsWhenNothingGetsOnAndTheCoordinatorIsSilentToo) {
  start(Mode::kSync);  // stuck_after_ms = 60000
  assign(0, 0);
  bring_weights(0);
  compute();
  EXPECT_FALSE(wait(59s));

  const std::optional<Status> failure = wait(2s);

  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), Code::kDeadline);
  EXPECT_NE(failure->to_string().find("shard 0: push of unit 0 at clock 0, for 60.0 s"),
            std::string::npos)
      << failure->to_string();
  EXPECT_FALSE(wait(60s)) << "said once";
}

TEST_F(SessionLife, DoesWithoutACoordinatorAsLongAsItGetsOn) {
  JobConfig job = small_job(Mode::kAsync);
  job.train.epochs = 1000;
  start(job);
  assign(0, 0);
  bring_weights(0);

  for (Version version = 1; version < 10; ++version) {
    compute();
    const auto pushes = pushes_;
    EXPECT_FALSE(wait(45s));
    pushes_ = pushes;  // not those sent again
    answer_pushes(wire::ReplyCode::kApplied, version);
  }
}

TEST_F(SessionLife, WaitsForAsLongAsTheCoordinatorSaysSo) {
  start(Mode::kSync);
  assign(0, 0);

  EXPECT_FALSE(wait(300s, [&] { hear(wire::BeatAnswer{1, 0, 1}); }));
}

TEST_F(SessionLife, DoesNotEndAComputationThatTakesLong) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);

  EXPECT_FALSE(wait(300s));
}

TEST_F(SessionLife, DoesNotTakeItsOwnStandingStillForSilence) {
  start(Mode::kAsync);

  now_ += 300s;
  handle(session_event::Tick{});

  EXPECT_TRUE(all<session_effect::Fail>().empty());
}

TEST_F(SessionLife, EndsWhenNoCoordinatorEverWelcomesIt) {
  SessionConfig config;
  config.job = small_job(Mode::kSync);  // join_deadline_ms = 30000
  session_ = std::make_unique<WorkerSession>(config);
  session_->start(now_, out_);
  EXPECT_FALSE(wait(29s));

  const std::optional<Status> failure = wait(2s);

  ASSERT_TRUE(failure);
  EXPECT_NE(failure->to_string().find("waiting for a welcome"), std::string::npos);
}

TEST_F(SessionLife, WantsToBeWokenOnceAnEventAndNotInThePast) {
  start(Mode::kAsync);

  assign(0, 0);

  const auto wakes = all<session_effect::WakeAt>();
  ASSERT_EQ(wakes.size(), 1u);
  now_ = wakes[0].time;
  handle(session_event::Tick{});
  EXPECT_GT(all<session_effect::WakeAt>().at(0).time, now_);
}

TEST_F(SessionLife, TakesOrdersFromTheCoordinatorOnly) {
  start(Mode::kAsync);

  hear_from({Role::kWorker, 1, 1}, wire::End{1, wire::EndKind::kDone});

  EXPECT_TRUE(all<session_effect::End>().empty());
}

TEST_F(SessionLife, EndsOnce) {
  start(Mode::kAsync);

  hear(wire::End{1, wire::EndKind::kDone});
  EXPECT_EQ(all<session_effect::End>().size(), 1u);
  EXPECT_TRUE(said<wire::WorkerProgress>().has_value()) << "the last figures";

  hear(wire::End{1, wire::EndKind::kDone});
  EXPECT_TRUE(all<session_effect::End>().empty());
}

TEST_F(SessionLife, FailsWithTheReasonOfTheComputingSide) {
  start(Mode::kAsync);

  handle(session_event::ComputeFailed{Status(Code::kInvalidInput, "loss is NaN")});

  ASSERT_EQ(all<session_effect::Fail>().size(), 1u);
  EXPECT_EQ(all<session_effect::Fail>()[0].status.code(), Code::kInvalidInput);
}

}  // namespace
}  // namespace ballast
