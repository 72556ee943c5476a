#include <gtest/gtest.h>

#include "tests/server/shard/shard_fixture.h"

namespace ballast::testing {
namespace {

Buffer gradient(float first) {
  return floats({first, 0});
}

// A unit whose step 0 lacks only lane 3; workers 0 and 1 wait.
void fill_all_but_lane_3(UnitBench& bench) {
  EXPECT_EQ(bench.codes(bench.push(0, push_of({0, 1}, 0, gradient(2)))), "");
  EXPECT_EQ(bench.codes(bench.push(1, push_of({2}, 0, gradient(4)))), "");
}

void close_step(UnitBench& bench, Clock step) {
  EXPECT_EQ(bench.codes(bench.push(9, push_of({0, 1, 2, 3}, step, gradient(1), 100 + step))),
            "closed");
}

TEST(SyncUnit, ClosesAStepWhenEveryLaneHasPushed) {
  UnitBench bench(small_job(Mode::kSync));
  const float before = values_of(bench.unit->weights().current())[0];
  fill_all_but_lane_3(bench);
  EXPECT_FALSE(bench.changed);

  const auto answers = bench.push(1, push_of({3}, 0, gradient(2), 2));

  EXPECT_TRUE(bench.changed);
  EXPECT_EQ(bench.codes(answers), "closed closed closed");
  EXPECT_EQ(bench.unit->version(), 1u);
  // Sum 8 over a weight of 2 for each of four lanes: one step of 1.
  EXPECT_FLOAT_EQ(values_of(answers[0].entry.weights)[0], before - 1);
}

TEST(SyncUnit, SendsTheNewWeightsOnceToEachWorker) {
  UnitBench bench(small_job(Mode::kSync));
  fill_all_but_lane_3(bench);

  const auto answers = bench.push(1, push_of({3}, 0, gradient(2), 2));

  size_t with_weights = 0;
  for (const UnitAnswer& answer : answers) with_weights += !answer.entry.weights.empty();
  EXPECT_EQ(with_weights, 2u);
}

TEST(SyncUnit, CountsARepeatedPushOnce) {
  UnitBench bench(small_job(Mode::kSync));
  const float before = values_of(bench.unit->weights().current())[0];
  fill_all_but_lane_3(bench);
  fill_all_but_lane_3(bench);

  bench.push(1, push_of({3}, 0, gradient(2), 2));

  EXPECT_FLOAT_EQ(values_of(bench.unit->weights().current())[0], before - 1);
}

TEST(SyncUnit, EntersTheRowsOfAStepIntoItsLedgerOnceWhenItCloses) {
  UnitBench bench(small_job(Mode::kSync));
  fill_all_but_lane_3(bench);
  fill_all_but_lane_3(bench);
  EXPECT_EQ(bench.unit->ledger(), std::vector<uint64_t>(4, 0)) << "nothing is applied yet";

  bench.push(1, push_of({3}, 0, gradient(2), 2));
  bench.push(1, push_of({3}, 0, gradient(2), 3));  // its answer got lost

  EXPECT_EQ(bench.unit->ledger(), (std::vector<uint64_t>{1000, 1001, 1002, 1003}));
  close_step(bench, 1);
  EXPECT_EQ(bench.unit->ledger(), (std::vector<uint64_t>{3000, 3002, 3004, 3006}));
}

TEST(SyncUnit, TakesANodeOverItsFilledLeaves) {
  UnitBench bench(small_job(Mode::kSync));
  const float before = values_of(bench.unit->weights().current())[0];
  bench.push(0, push_of({2}, 0, gradient(4)));

  bench.push(1, push_of({2, 3}, 0, gradient(6)));
  bench.push(0, push_of({0, 1}, 0, gradient(2), 2));

  EXPECT_EQ(bench.unit->version(), 1u);
  EXPECT_FLOAT_EQ(values_of(bench.unit->weights().current())[0], before - 1);
}

TEST(SyncUnit, DividesByTheWeightsOfTheStepWhateverTheyAre) {
  UnitBench bench(small_job(Mode::kSync));
  const float before = values_of(bench.unit->weights().current())[0];
  wire::PushEntry some = push_of({0, 1}, 0, gradient(3));
  some.lanes[0].weight = 0.5;
  some.lanes[1].weight = 0.25;
  wire::PushEntry none = push_of({2, 3}, 0, gradient(0));
  none.lanes[0].weight = none.lanes[1].weight = 0;

  bench.push(0, some);
  bench.push(1, none);

  EXPECT_FLOAT_EQ(values_of(bench.unit->weights().current())[0], before - 4);
  EXPECT_EQ(bench.unit->weights().samples_applied(), 8) << "schedules count rows, not weights";
}

TEST(SyncUnit, PassesOverAStepInWhichNothingWeighsAnything) {
  for (const double weight : {0.0, 1e-40}) {  // 1 / the second is no float
    UnitBench bench(small_job(Mode::kSync));
    const std::vector<float> before = values_of(bench.unit->weights().current());
    wire::PushEntry nothing = push_of({0, 1, 2, 3}, 0, gradient(0));
    for (wire::LaneStamp& stamp : nothing.lanes) stamp.weight = weight;

    EXPECT_EQ(bench.codes(bench.push(0, nothing)), "closed");

    EXPECT_EQ(values_of(bench.unit->weights().current()), before);
    EXPECT_EQ(bench.unit->version(), 1u);
    EXPECT_EQ(bench.unit->weights().updates(), 0u);
    EXPECT_EQ(bench.unit->weights().samples_applied(), 8);
    close_step(bench, 1);
    EXPECT_EQ(bench.unit->weights().updates(), 1u);
  }
}

TEST(SyncUnit, DoesNotWaitForLanesWithoutRows) {
  UnitBench bench(small_job(Mode::kSync, /*rows=*/10));  // lanes 2 and 3 are absent from step 1
  close_step(bench, 0);

  EXPECT_EQ(bench.codes(bench.push(0, push_of({0}, 1, gradient(1)))), "");
  EXPECT_EQ(bench.codes(bench.push(1, push_of({1}, 1, gradient(1)))), "closed closed");
}

TEST(SyncUnit, GivesAReaderOfNoLaneTheNewestVersionAtOnce) {
  UnitBench bench(small_job(Mode::kSync));
  EXPECT_EQ(bench.pull(7, pull_of(kNever))[0].entry.version, 0u);
  close_step(bench, 0);
  bench.push(0, push_of({0, 1}, 1, gradient(1), 200));  // step 1 is under way

  const auto answers = bench.pull(7, pull_of(kNever));

  ASSERT_EQ(bench.codes(answers), "weights");
  EXPECT_EQ(answers[0].entry.version, 1u);
  EXPECT_EQ(values_of(answers[0].entry.weights), values_of(bench.unit->weights().current()));
}

TEST(SyncUnit, AnswersAClosedStepAlreadyWithItsWeightsIfTheyAreThere) {
  UnitBench bench(small_job(Mode::kSync));
  close_step(bench, 0);

  const auto answers = bench.push(0, push_of({0}, 0, gradient(7)));

  EXPECT_FALSE(bench.changed);
  EXPECT_EQ(bench.codes(answers), "already");
  EXPECT_EQ(answers[0].entry.version, 1u);
  EXPECT_FALSE(answers[0].entry.weights.empty());
}

TEST(SyncUnit, KeepsTheOldVersionUntilAPushProvesThatNobodyNeedsIt) {
  UnitBench bench(small_job(Mode::kSync));
  close_step(bench, 0);
  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(0))), "weights");

  bench.push(1, push_of({0}, 1, gradient(1)));

  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(0))), "passed");
  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(1))), "weights");
}

TEST(SyncUnit, HoldsAReadOfAVersionToCome) {
  UnitBench bench(small_job(Mode::kSync));
  EXPECT_EQ(bench.codes(bench.pull(5, pull_of(1))), "");
  EXPECT_TRUE(bench.unit->oldest_waiting().has_value());

  const auto answers = bench.push(0, push_of({0, 1, 2, 3}, 0, gradient(1)));

  EXPECT_EQ(bench.codes(answers), "closed weights");
  EXPECT_EQ(answers[1].to, worker(5));
  EXPECT_EQ(answers[1].entry.version, 1u);
}

TEST(SyncUnit, AnswersBusyBeyondItsRoomForReads) {
  UnitBench bench(small_job(Mode::kSync), {.reads_held_max = 1});
  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(1, 1))), "");

  EXPECT_EQ(bench.codes(bench.pull(1, pull_of(1, 1))), "busy");
  EXPECT_EQ(bench.codes(bench.pull(0, pull_of(1, 1))), "") << "the same read again";
}

TEST(SyncUnit, AnswersFencedWhenAHeldPushLosesItsLane) {
  UnitBench bench(small_job(Mode::kSync));
  fill_all_but_lane_3(bench);

  std::vector<UnitAnswer> answers;
  bench.unit->fences_rose(std::vector<Fence>{1, 1, 2, 1}, answers);

  ASSERT_EQ(bench.codes(answers), "fenced");
  EXPECT_EQ(answers[0].to, worker(1));
  EXPECT_EQ(answers[0].entry.fences, (std::vector<wire::LaneFence>{{LaneId(2), 2}}));
}

TEST(SyncUnit, TakesTheSlotOfAFencedLaneAgainFromItsNewOwner) {
  UnitBench bench(small_job(Mode::kSync));
  fill_all_but_lane_3(bench);

  bench.push(7, push_of({2}, 0, gradient(4), 1, /*fence=*/2));
  bench.push(7, push_of({3}, 0, gradient(2), 2));

  EXPECT_EQ(bench.unit->version(), 1u);
}

TEST(SyncUnit, RefusesWhatMakesNoSense) {
  UnitBench bench(small_job(Mode::kSync));
  wire::PushEntry no_lanes = push_of({0}, 0, gradient(1));
  no_lanes.lanes.clear();
  wire::PushEntry no_node = push_of({1, 2}, 0, gradient(1));
  wire::PushEntry other_lane = push_of({0}, 0, gradient(1));
  other_lane.lanes[0].lane = LaneId(1);
  wire::PushEntry no_weight = push_of({0}, 0, gradient(1));
  no_weight.lanes[0].weight = -1;
  wire::PushEntry beyond = push_of({0}, 0, gradient(1));
  beyond.node_high = 99;

  for (const wire::PushEntry& entry :
       {no_lanes, no_node, other_lane, no_weight, beyond, push_of({0}, 1, gradient(1)),
        push_of({0}, 99, gradient(1)), push_of({0}, 0, floats({1}))}) {
    EXPECT_EQ(bench.codes(bench.push(0, entry)), "");
  }

  EXPECT_EQ(bench.unit->counters().malformed, 8u);
  EXPECT_FALSE(bench.unit->oldest_waiting().has_value());
}

TEST(SyncUnit, NamesTheLaneItWaitsFor) {
  UnitBench bench(small_job(Mode::kSync));
  fill_all_but_lane_3(bench);

  EXPECT_EQ(bench.unit->oldest_waiting()->text, "unit 0 step 0 waits for the push of lane 3");
}

TEST(SyncUnit, GoesOnFromItsImageWithBothVersions) {
  UnitBench bench(small_job(Mode::kSync));
  close_step(bench, 0);
  UnitBench restored(small_job(Mode::kSync));

  ASSERT_TRUE(restored.unit->restore(bench.unit->image()).ok());

  EXPECT_EQ(restored.unit->version(), 1u);
  EXPECT_EQ(bench.codes(restored.pull(0, pull_of(0))), "weights");
  EXPECT_EQ(values_of(restored.unit->weights().current()),
            values_of(bench.unit->weights().current()));
}

TEST(SyncUnit, GoesOnWithTheLedgerOfItsImage) {
  UnitBench bench(small_job(Mode::kSync));
  close_step(bench, 0);
  UnitBench restored(small_job(Mode::kSync));

  ASSERT_TRUE(restored.unit->restore(bench.unit->image()).ok());

  EXPECT_EQ(restored.unit->ledger(), bench.unit->ledger());
}

TEST(SyncUnit, KeepsNoLedgerAfterAnImageThatHadNone) {
  UnitBench bench(small_job(Mode::kSync));
  UnitImage image = bench.unit->image();
  image.ledger.clear();

  ASSERT_TRUE(bench.unit->restore(std::move(image)).ok());
  close_step(bench, 0);

  EXPECT_TRUE(bench.unit->ledger().empty()) << "half of one would be wrong";
}

TEST(SyncUnit, RefusesTheLedgerOfAnotherNumberOfLanes) {
  UnitBench bench(small_job(Mode::kSync));
  UnitImage image = bench.unit->image();
  image.ledger.pop_back();

  const Status refused = bench.unit->restore(std::move(image));

  EXPECT_EQ(refused.code(), Code::kDataLoss);
  EXPECT_NE(refused.to_string().find("unit 0: image has the ledger of 3 lanes, expected 4"),
            std::string::npos)
      << refused.to_string();
}

TEST(SyncUnit, RefusesAnImageOfAnotherSize) {
  UnitBench bench(small_job(Mode::kSync));
  UnitImage image = bench.unit->image();
  image.weights = floats({1, 2, 3});

  EXPECT_EQ(bench.unit->restore(std::move(image)).code(), Code::kDataLoss);
}

}  // namespace
}  // namespace ballast::testing
