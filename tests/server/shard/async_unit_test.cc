#include <gtest/gtest.h>

#include "tests/server/shard/shard_fixture.h"

namespace ballast::testing {
namespace {

Buffer gradient(float first = 1) {
  return floats({first, 0});
}

TEST(AsyncUnit, AppliesAPushWhenItComes) {
  UnitBench bench(small_job(Mode::kAsync));
  const float before = values_of(bench.unit->weights().current())[0];

  const auto answers = bench.push(0, push_of({0, 2}, 0, gradient(8)));

  EXPECT_TRUE(bench.changed);
  EXPECT_EQ(bench.codes(answers), "applied");
  EXPECT_FLOAT_EQ(values_of(answers[0].entry.weights)[0], before - 2);  // 8 / (2 + 2)
  EXPECT_EQ(bench.unit->marks(), (std::vector<Clock>{1, 0, 1, 0}));
}

TEST(AsyncUnit, AppliesARepeatedPushOnce) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.push(0, push_of({0, 2}, 0, gradient(8)));
  const std::vector<float> after = values_of(bench.unit->weights().current());

  EXPECT_EQ(bench.codes(bench.push(0, push_of({0, 2}, 0, gradient(8)))), "already");

  EXPECT_FALSE(bench.changed);
  EXPECT_EQ(values_of(bench.unit->weights().current()), after);
}

TEST(AsyncUnit, NamesTheLanesOfAPushThatAreNotThereYet) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.push(0, push_of({0}, 0, gradient()));

  const auto answers = bench.push(1, push_of({0, 1}, 0, gradient(), 2));

  EXPECT_EQ(bench.codes(answers), "split");
  EXPECT_EQ(answers[0].entry.missing, std::vector<LaneId>{LaneId(1)});
  EXPECT_EQ(bench.unit->marks()[1], 0u);
}

TEST(AsyncUnit, ParksAnEarlyPushUntilItsLaneHasCaughtUp) {
  UnitBench bench(small_job(Mode::kAsync));
  EXPECT_EQ(bench.codes(bench.push(0, push_of({0}, 2, gradient(), 3))), "");
  EXPECT_EQ(bench.codes(bench.push(0, push_of({0}, 1, gradient(), 2))), "");
  EXPECT_EQ(bench.unit->counters().parked, 2u);

  const auto answers = bench.push(0, push_of({0}, 0, gradient(), 1));

  EXPECT_EQ(bench.codes(answers), "applied applied applied");
  EXPECT_EQ(bench.unit->marks()[0], 3u);
}

TEST(AsyncUnit, CountsAParkedPushOnceHoweverOftenItIsTriedOrSentAgain) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.push(0, push_of({0}, 2, gradient(), 3));
  bench.push(0, push_of({0}, 2, gradient(), 3));  // sent again

  bench.push(0, push_of({0}, 0, gradient(), 1));  // tried again, and still early
  bench.push(1, push_of({1}, 0, gradient(), 1));  // and again

  EXPECT_EQ(bench.unit->counters().parked, 1u);
}

TEST(AsyncUnit, EntersTheRowsOfEachLaneOnceInWhateverOrderTheyCome) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.push(0, push_of({0, 1}, 0, gradient(), 1));
  bench.push(0, push_of({0, 1}, 0, gradient(), 2));  // already
  bench.push(1, push_of({1, 2}, 0, gradient(), 1));  // split: lane 2 alone is missing
  EXPECT_EQ(bench.unit->ledger(), (std::vector<uint64_t>{1000, 1001, 0, 0}));

  bench.push(1, push_of({2}, 1, gradient(), 2));  // parked
  EXPECT_EQ(bench.unit->ledger()[2], 0u);
  bench.push(1, push_of({2}, 0, gradient(), 3));

  EXPECT_EQ(bench.unit->ledger(), (std::vector<uint64_t>{1000, 1001, 1002 + 2002, 0}));
}

TEST(AsyncUnit, AnswersEarlyBeyondItsRoomForParkedPushes) {
  UnitBench bench(small_job(Mode::kAsync), {}, /*parked_max=*/1);
  EXPECT_EQ(bench.codes(bench.push(0, push_of({0}, 1, gradient(), 1))), "");

  EXPECT_EQ(bench.codes(bench.push(0, push_of({1}, 1, gradient(), 2))), "early");
  EXPECT_EQ(bench.codes(bench.push(0, push_of({0}, 1, gradient(), 1))), "") << "the same again";
}

TEST(AsyncUnit, PassesOverStepsInWhichALaneHasNoRows) {
  UnitBench bench(small_job(Mode::kAsync, /*rows=*/10));  // lane 2 is absent from steps 1 and 3

  EXPECT_EQ(bench.codes(bench.push(0, push_of({2}, 0, gradient(), 1))), "applied");
  EXPECT_EQ(bench.unit->marks()[2], 2u);
  EXPECT_EQ(bench.codes(bench.push(0, push_of({2}, 2, gradient(), 2))), "applied");
  EXPECT_EQ(bench.unit->marks()[2], kNever);
}

TEST(AsyncUnit, TellsParkedPushesOfAFencedLane) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.push(0, push_of({0}, 1, gradient(), 1));
  bench.push(1, push_of({1}, 1, gradient(), 1));

  std::vector<UnitAnswer> answers;
  bench.unit->fences_rose(std::vector<Fence>{2, 1, 1, 1}, answers);

  ASSERT_EQ(bench.codes(answers), "fenced");
  EXPECT_EQ(answers[0].to, worker(0));
  EXPECT_EQ(bench.codes(bench.push(1, push_of({1}, 0, gradient(), 2))), "applied applied");
}

TEST(AsyncUnit, CountsStalenessAndCanScaleTheStepByIt) {
  JobConfig job = small_job(Mode::kAsync);
  job.train.scale_by_staleness = true;
  UnitBench bench(job);
  bench.push(0, push_of({0}, 0, gradient(0), 1));
  const float before = values_of(bench.unit->weights().current())[0];

  bench.push(1, push_of({1}, 0, gradient(4), 1));  // computed from version 0, applied to 1

  EXPECT_FLOAT_EQ(values_of(bench.unit->weights().current())[0], before - 1);  // 4 / 2 / (1 + 1)
  EXPECT_EQ(std::vector<uint64_t>(bench.unit->staleness().begin(), bench.unit->staleness().end()),
            (std::vector<uint64_t>{1, 1}));
}

// How far one push of some lanes moves a weight whose gradient is 1 a unit of weight.
float move_of(UnitBench& bench, wire::PushEntry push) {
  const float before = values_of(bench.unit->weights().current())[0];
  bench.push(0, std::move(push));
  return before - values_of(bench.unit->weights().current())[0];
}

wire::PushEntry weighed(uint32_t lane, Clock clock, double weight) {
  wire::PushEntry push = push_of({lane}, clock, gradient(static_cast<float>(weight)));
  push.lanes[0].weight = weight;
  return push;
}

JobConfig job_scaled_by_share() {
  JobConfig job = small_job(Mode::kAsync);
  job.train.scale_by_share = true;
  return job;
}

TEST(AsyncUnit, MovesByTheShareOfTheStepsSamplesWhereAllWeighTheSame) {
  for (const double weight : {2.0, 14.0}) {  // of two samples
    UnitBench bench(job_scaled_by_share());
    for (uint32_t lane = 0; lane < 4; ++lane) {
      EXPECT_FLOAT_EQ(move_of(bench, weighed(lane, 0, weight)), 0.25f) << lane;
    }
  }
}

TEST(AsyncUnit, MovesByTheShareOfTheStepsWeightWhereSamplesWeighUnlike) {
  UnitBench bench(job_scaled_by_share());
  bench.push(0, weighed(0, 0, 2));

  // Three times as heavy as those before: the mean of all four samples is now 2.
  EXPECT_FLOAT_EQ(move_of(bench, weighed(1, 0, 6)), 6.0f / (8 * 2));
  // A light one after them: the mean of six is 1.5.
  EXPECT_FLOAT_EQ(move_of(bench, weighed(2, 0, 1)), 1.0f / (8 * 1.5f));
  EXPECT_EQ(bench.unit->weights().samples_applied(), 6);
  EXPECT_EQ(bench.unit->weights().weight_applied(), 9);
}

TEST(AsyncUnit, MovesNoFartherThanAWholeStepHoweverMuchASampleWeighs) {
  UnitBench bench(job_scaled_by_share());
  for (uint32_t lane = 0; lane < 3; ++lane) bench.push(0, weighed(lane, 0, 1e-3));

  EXPECT_FLOAT_EQ(move_of(bench, weighed(3, 0, 1e6)), 1);
}

TEST(AsyncUnit, ReadsAtOnceInAsync) {
  UnitBench bench(small_job(Mode::kAsync));

  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(3))), "weights");
}

TEST(AsyncUnit, HoldsAReadThatWouldLeadTheSlowestLaneByTooMuch) {
  UnitBench bench(small_job(Mode::kSsp));  // staleness 1
  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(1))), "weights");
  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(2, 7))), "");
  EXPECT_EQ(bench.unit->oldest_waiting()->text,
            "unit 0: a read at clock 2 waits for lane 0, 1, 2, 3 to reach 1");

  EXPECT_EQ(bench.codes(bench.push(0, push_of({0, 1, 2}, 0, gradient(), 1))), "applied");
  const auto answers = bench.push(1, push_of({3}, 0, gradient(), 1));

  EXPECT_EQ(bench.codes(answers), "applied weights");
  EXPECT_EQ(answers[1].entry.sequence, 7u);
  EXPECT_EQ(answers[1].entry.least_clock, 1u);
}

TEST(AsyncUnit, GivesAReaderOfNoLaneTheNewestWeightsAtOnce) {
  for (Mode mode : {Mode::kAsync, Mode::kSsp}) {
    UnitBench bench(small_job(mode));
    bench.push(0, push_of({0}, 0, gradient(8)));  // lanes 1 to 3 have not begun

    const auto answers = bench.pull(7, pull_of(kNever));

    ASSERT_EQ(bench.codes(answers), "weights");
    EXPECT_EQ(answers[0].entry.version, 1u);
    EXPECT_EQ(values_of(answers[0].entry.weights), values_of(bench.unit->weights().current()));
  }
}

TEST(AsyncUnit, DoesNotWaitForALaneWithoutRowsLeft) {
  UnitBench bench(small_job(Mode::kSsp, /*rows=*/10));
  for (Clock clock : {0u, 2u}) bench.push(0, push_of({2, 3}, clock, gradient(), 1 + clock));
  for (Clock clock : {0u, 1u}) bench.push(1, push_of({0, 1}, clock, gradient(), 5 + clock));

  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(3))), "weights");
}

TEST(AsyncUnit, KeepsASnapshotAsItWas) {
  UnitBench bench(small_job(Mode::kAsync));
  const std::vector<float> before = values_of(bench.unit->weights().current());
  bench.unit->take_snapshot(5);
  bench.push(0, push_of({0}, 0, gradient(8)));
  wire::PullEntry read = pull_of(0);
  read.snapshot = 5;

  const auto answers = bench.pull(0, read);
  bench.unit->release_snapshot(5);

  EXPECT_EQ(values_of(answers.at(0).entry.weights), before);
  EXPECT_EQ(bench.codes(bench.pull(0, read)), "passed");
}

TEST(AsyncUnit, KeepsOneSnapshotHoweverOrdersAreRepeated) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.unit->take_snapshot(5);
  bench.unit->take_snapshot(6);  // the release of 5 got lost
  EXPECT_EQ(bench.unit->occupancy().snapshots, 1u);

  bench.unit->release_snapshot(6);
  bench.unit->take_snapshot(6);  // late
  bench.unit->take_snapshot(5);

  EXPECT_EQ(bench.unit->occupancy().snapshots, 0u);
}

TEST(AsyncUnit, CarriesItsMarksInItsImage) {
  UnitBench bench(small_job(Mode::kAsync));
  bench.push(0, push_of({0, 2}, 0, gradient(8)));
  UnitBench restored(small_job(Mode::kAsync));

  ASSERT_TRUE(restored.unit->restore(bench.unit->image()).ok());

  EXPECT_EQ(restored.unit->marks(), (std::vector<Clock>{1, 0, 1, 0}));
  EXPECT_EQ(restored.unit->ledger(), (std::vector<uint64_t>{1000, 0, 1002, 0}));
  EXPECT_EQ(bench.codes(restored.push(0, push_of({0, 2}, 0, gradient(8)))), "already");
}

TEST(AsyncUnit, RefusesAnImageOfAnotherNumberOfLanes) {
  UnitBench bench(small_job(Mode::kAsync));
  UnitImage image = bench.unit->image();
  image.marks.pop_back();

  EXPECT_EQ(bench.unit->restore(std::move(image)).code(), Code::kDataLoss);
}

TEST(AsyncUnit, RefusesWhatMakesNoSense) {
  UnitBench bench(small_job(Mode::kAsync));
  wire::PushEntry no_lanes = push_of({0}, 0, gradient());
  no_lanes.lanes.clear();
  wire::PushEntry two_clocks = push_of({0, 1}, 0, gradient());
  two_clocks.lanes[1].clock = 1;
  wire::PushEntry twice = push_of({0, 0}, 0, gradient());
  wire::PushEntry foreign = push_of({9}, 0, gradient());

  for (const wire::PushEntry& entry :
       {no_lanes, two_clocks, twice, foreign, push_of({0}, 77, gradient()),
        push_of({0}, 0, floats({1}))}) {
    EXPECT_EQ(bench.codes(bench.push(0, entry)), "");
  }

  EXPECT_EQ(bench.unit->counters().malformed, 6u);
}

}  // namespace
}  // namespace ballast::testing
