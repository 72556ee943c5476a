#include "server/coordinator/saved_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "server/coordinator/coordinator.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

SavedState example() {
  SavedState state;
  state.leader = 3;
  state.view = 2;
  state.started = true;
  state.workers = {{Presence::kIn, 7, "", "here", 11, false, false}, {}};
  state.shards = {{Presence::kGone, 9, "ipc://x", "there", 12, true, true}};
  state.lanes.resize(2);
  state.lanes[0] = {4, WorkerId(1), 5, 6, 7, SavedHandover{WorkerId(1), WorkerId(0), 8, 9, 4}};
  state.evaluation_done = 2;
  state.checkpoint_committed = 40;
  state.checkpoint_ordered = 50;
  state.restarts = 1;
  state.ending = wire::EndKind::kFailed;
  state.ending_code = Code::kDeadline;
  state.ending_chain = {"nobody came", "while waiting"};
  return state;
}

TEST(SavedState, ComesBackAsItWas) {
  const Buffer bytes = encode(example());

  const Result<SavedState> back = decode_saved_state(bytes.bytes());

  ASSERT_TRUE(back.ok()) << back.status().to_string();
  EXPECT_EQ(back->lanes, example().lanes);
  EXPECT_EQ(back->workers, example().workers);
  EXPECT_EQ(back->shards, example().shards);
  EXPECT_EQ(back->ending_chain, example().ending_chain);
  EXPECT_EQ(back->checkpoint_ordered, 50u);
  EXPECT_TRUE(std::ranges::equal(encode(*back).bytes(), bytes.bytes()));
}

TEST(SavedState, RefusesEveryFlippedBitAndEveryCut) {
  const Buffer bytes = encode(example());

  for (size_t at = 0; at < bytes.size(); ++at) {
    Buffer damaged = Buffer::copy_of(bytes.bytes());
    damaged.data()[at] ^= std::byte{4};
    const Result<SavedState> flipped = decode_saved_state(damaged.bytes());
    const Result<SavedState> cut = decode_saved_state(bytes.bytes().first(at));
    ASSERT_FALSE(flipped.ok()) << at;
    EXPECT_EQ(flipped.status().code(), Code::kDataLoss);
    ASSERT_FALSE(cut.ok()) << at;
  }
}

CoordinatorSetup setup() {
  CoordinatorSetup setup{
      JobConfig(), LaneSchedule(64, 4, 8, 2), {ShardId(0)}, "hash", "resume", std::nullopt,
      std::nullopt};
  return setup;
}

TEST(CoordinatorSetup, IsRefusedWhenItContradictsItself) {
  CoordinatorSetup no_units = setup();
  no_units.placement.clear();
  CoordinatorSetup far = setup();
  far.placement = {ShardId(3)};
  CoordinatorSetup no_workers = setup();
  no_workers.config.cluster.workers = 0;
  CoordinatorSetup other_mode = setup();
  other_mode.resume = ResumePoint{7, "x", 7, Mode::kAsync};
  CoordinatorSetup at_the_end = setup();
  at_the_end.resume = ResumePoint{7, "x", at_the_end.schedule.steps(), Mode::kSync};
  CoordinatorSetup behind_the_end = at_the_end;
  ++behind_the_end.resume->clock;

  EXPECT_THAT(Coordinator::create(no_units).status().to_string(), HasSubstr("no parameters"));
  EXPECT_THAT(Coordinator::create(far).status().to_string(), HasSubstr("shard 3"));
  EXPECT_THAT(Coordinator::create(no_workers).status().to_string(),
              HasSubstr("cluster.workers is 0"));
  EXPECT_THAT(Coordinator::create(other_mode).status().to_string(),
              HasSubstr("checkpoint 7 was written in another mode"));
  EXPECT_THAT(Coordinator::create(behind_the_end).status().to_string(),
              HasSubstr("checkpoint 7 is at step 17, the job ends at step 16"));
  EXPECT_TRUE(Coordinator::create(at_the_end).ok());
  EXPECT_TRUE(Coordinator::create(setup()).ok());
}

TEST(CoordinatorSetup, RefusesTheStateOfAnotherJob) {
  CoordinatorSetup wrong = setup();
  wrong.state = encode(example());
  CoordinatorSetup damaged = setup();
  damaged.state = Buffer::allocate(5);

  EXPECT_EQ(Coordinator::create(wrong).status().code(), Code::kDataLoss);
  EXPECT_THAT(Coordinator::create(wrong).status().to_string(), HasSubstr("expected 4 lanes"));
  EXPECT_EQ(Coordinator::create(damaged).status().code(), Code::kDataLoss);
}

TEST(Coordinator, LeadsWithAHigherNumberAfterEachRestart) {
  CoordinatorSetup again = setup();
  for (uint64_t life = 1; life <= 3; ++life) {
    auto coordinator = Coordinator::create(again);
    ASSERT_TRUE(coordinator.ok());
    CoordinatorEffects effects;
    (*coordinator)->handle(Tick{}, Time(1s), effects);

    EXPECT_EQ((*coordinator)->leader(), life);
    ASSERT_TRUE(std::holds_alternative<SaveState>(effects.front()));
    again.state = std::get<SaveState>(effects.front()).state;
  }
}

TEST(Coordinator, SavesNothingWhenNothingDurableChanged) {
  auto coordinator = Coordinator::create(setup());
  CoordinatorEffects effects;
  (*coordinator)->handle(Tick{}, Time(1s), effects);
  effects.clear();

  (*coordinator)->handle(Tick{}, Time(2s), effects);

  ASSERT_EQ(effects.size(), 1u);
  EXPECT_EQ(std::get<WakeAt>(effects[0]).at, Time(2s) + 250ms);
}

}  // namespace
}  // namespace ballast
