// train.steps_in_flight: steps that are computed before the one before them is answered.
#include <gtest/gtest.h>

#include "tests/worker/session/session_fixture.h"

namespace ballast {
namespace {

class SessionAhead : public SessionFixture {
 protected:
  void start_ahead(Mode mode, uint32_t steps_in_flight = 2) {
    JobConfig job = small_job(mode);
    job.train.steps_in_flight = steps_in_flight;
    start(std::move(job));
  }

  // The clock that is being computed since the last event; nothing: none is.
  std::optional<Clock> computing() const {
    const auto jobs = all<session_effect::Compute>();
    return jobs.empty() ? std::nullopt : std::optional(jobs.front().clock);
  }

  using Pushes = std::map<UnitId, std::vector<wire::PushEntry>>;

  // Of lane 0 -> what each pushes.
  std::pair<Pushes, Pushes> compute_two_steps() {
    assign(0, 0);
    bring_weights(0);
    compute();
    Pushes first = std::exchange(pushes_, {});
    compute();
    return {std::move(first), std::exchange(pushes_, {})};
  }

  void answer(const Pushes& pushes, Version version, Clock least_clock = 0) {
    for (const auto& [unit, entries] : pushes) {
      for (const wire::PushEntry& entry : entries) {
        reply(entry.sequence, unit.value(), wire::ReplyCode::kApplied, version, least_clock);
      }
    }
  }
};

TEST_F(SessionAhead, ComputesTheNextStepWhileTheLastIsOnItsWay) {
  start_ahead(Mode::kAsync);
  assign(0, 0);
  bring_weights(5);
  EXPECT_EQ(session_->tasks_in_flight(), 1u) << "the first is not sent yet";

  compute();

  EXPECT_EQ(computing(), 1u);
  EXPECT_EQ(lane(0).clock, 0u) << "nothing is answered";
  const auto first = std::exchange(pushes_, {});
  compute();
  EXPECT_EQ(computing(), std::nullopt) << "two are in flight";
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).base_version, 5u) << "the weights that were there";
  pushes_.clear();
  answer(first, 6);
  EXPECT_EQ(lane(0).clock, 1u);
  EXPECT_EQ(computing(), 2u);
  compute();
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).base_version, 6u);
}

TEST_F(SessionAhead, HandsWeightsOverWhileAStepIsComputedOnceAUnit) {
  start_ahead(Mode::kAsync, 3);
  const auto [first, second] = compute_two_steps();
  ASSERT_EQ(computing(), 2u);
  const session_effect::Compute third = all<session_effect::Compute>()[0];
  const auto handed_over = [&](const Pushes& pushes, Version version) {
    size_t units = 0;
    for (const auto& [unit, entries] : pushes) {
      answer({{unit, entries}}, version);
      units += all<session_effect::DeliverWeights>().size();
    }
    return units;
  };

  EXPECT_EQ(handed_over(first, 1), kUnits);
  EXPECT_EQ(handed_over(second, 2), 0u) << "orders must not pile up";
  compute(third);

  EXPECT_EQ(computing(), 3u);
  EXPECT_EQ(all<session_effect::DeliverWeights>().size(), kUnits) << "of version 2";
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).base_version, 0u) << "of the step computed meanwhile";
  pushes_.clear();
  compute();
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).base_version, 2u);
}

TEST_F(SessionAhead, DoesTheStepsOfALaneInTheirOrder) {
  start_ahead(Mode::kAsync);
  const auto [first, second] = compute_two_steps();

  answer(second, 2);

  EXPECT_EQ(lane(0).clock, 0u);
  EXPECT_EQ(computing(), std::nullopt);
  answer(first, 1);
  EXPECT_EQ(lane(0).clock, 2u);
  EXPECT_EQ(computing(), 2u);
}

TEST_F(SessionAhead, ComputesWhatASplitLeftOverBeforeItGoesOn) {
  start_ahead(Mode::kAsync, 3);
  hear(wire::Assign{1, {{LaneId(0), 1, 1, 0}, {LaneId(1), 1, 1, 0}}, 0});
  bring_weights(0);
  compute();
  const uint64_t split = pushes_.at(UnitId(0)).at(0).sequence;
  const auto ahead = all<session_effect::Compute>().at(0);
  ASSERT_EQ(ahead.clock, 1u);

  reply(split, 0, wire::ReplyCode::kSplit, 3, 0, {LaneId(1)});
  handle(session_event::ComputeDone{.job = ahead.job, .loss_sum = 1, .weight_sum = 2});

  ASSERT_EQ(computing(), 0u) << "before what is ahead of it";
  EXPECT_EQ(all<session_effect::Compute>()[0].groups.at(0).lanes, std::vector<LaneId>{LaneId(1)});
}

TEST_F(SessionAhead, WaitsForEveryAnswerInSync) {
  start_ahead(Mode::kSync);
  assign(0, 0);
  bring_weights(0);

  compute();

  EXPECT_EQ(computing(), std::nullopt);
  EXPECT_EQ(session_->tasks_in_flight(), 1u);
}

TEST_F(SessionAhead, ReadsNothingStalerThanItsBound) {
  start_ahead(Mode::kSsp, 3);  // staleness 1
  assign(0, 0);
  bring_weights(0, /*least_clock=*/0);
  compute();
  EXPECT_EQ(computing(), 1u) << "may lead by one";
  const auto first = std::exchange(pushes_, {});

  compute();

  EXPECT_EQ(computing(), std::nullopt) << "its own first step is not applied";
  EXPECT_TRUE(pulls_.empty()) << "the answer to its push brings what it needs";
  answer(first, 1, /*least_clock=*/1);
  EXPECT_EQ(computing(), 2u);
}

TEST_F(SessionAhead, AsksForWeightsThatTheAnswersToItsPushesDidNotBring) {
  start_ahead(Mode::kSsp, 3);
  assign(0, 0);
  bring_weights(0, /*least_clock=*/0);
  compute();
  const auto first = std::exchange(pushes_, {});
  compute();
  const auto second = std::exchange(pushes_, {});

  answer(first, 1, /*least_clock=*/0);
  answer(second, 2, /*least_clock=*/0);

  EXPECT_EQ(computing(), std::nullopt) << "another lane is behind";
  EXPECT_EQ(pulls_.at(UnitId(0)).clock, 2u);
  bring_weights(5, /*least_clock=*/1);
  EXPECT_EQ(computing(), 2u);
}

TEST_F(SessionAhead, HandsALaneOverAboveAllThatItHasBegun) {
  start_ahead(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const auto first = std::exchange(pushes_, {});
  compute();

  hear(wire::Handover{1, LaneId(0), 1, 1, /*clock=*/1, 0});

  ASSERT_TRUE(said<wire::Handing>().has_value());
  EXPECT_EQ(said<wire::Handing>()->clock, 2u);
  EXPECT_FALSE(said<wire::Handing>()->done);
  answer(first, 1);
  EXPECT_EQ(computing(), std::nullopt);
  const auto second = std::exchange(pushes_, {});
  answer(second, 2);
  ASSERT_TRUE(said<wire::Handing>().has_value());
  EXPECT_TRUE(said<wire::Handing>()->done);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
}

TEST_F(SessionAhead, DropsAllStepsOfAFencedLane) {
  start_ahead(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const uint64_t first = pushes_.at(UnitId(0)).at(0).sequence;
  compute();

  reply(first, 0, wire::ReplyCode::kFenced, 0, 0, {}, {{LaneId(0), 2}});

  EXPECT_TRUE(session_->progress(now_).lanes.empty());
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
  EXPECT_EQ(session_->client().in_flight_count(), 0u);
}

TEST_F(SessionAhead, StandsStillWhenPaused) {
  start_ahead(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const auto first = std::exchange(pushes_, {});

  hear(wire::Pause{1});

  ASSERT_TRUE(said<wire::Paused>().has_value());
  EXPECT_EQ(session_->tasks_in_flight(), 2u) << "what it has begun";
  answer(first, 1);
  EXPECT_EQ(session_->tasks_in_flight(), 1u);
}

}  // namespace
}  // namespace ballast
