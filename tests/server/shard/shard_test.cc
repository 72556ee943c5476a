#include "server/shard/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/hash.h"
#include "tests/server/shard/shard_test_case.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(ShardTest, ServesNothingBeforeItHasLoaded) {
  start(Mode::kAsync, Durability::kCheckpoint);

  push({0}, 0, 1);

  EXPECT_EQ(replies(), "");
  EXPECT_FALSE(shard_->serving());
}

TEST_F(ShardTest, JoinsOnceItKnowsWhatSurvived) {
  start(Mode::kAsync, Durability::kProcess);
  ASSERT_NE(said<wire::Join>(), nullptr);
  EXPECT_FALSE(said<wire::Join>()->journal_survived);
  load();

  restart();

  ASSERT_NE(said<wire::Join>(), nullptr);
  EXPECT_TRUE(said<wire::Join>()->journal_survived);
}

TEST_F(ShardTest, JoinsAgainWhenTheCoordinatorCanBeReached) {
  start(Mode::kAsync, Durability::kCheckpoint);
  said_.clear();  // the join left before there was a connection

  shard_->handle(shard_event::PeerUp{worker(0)}, kNow, said_);
  EXPECT_EQ(said<wire::Join>(), nullptr);
  shard_->handle(shard_event::PeerUp{{Role::kCoordinator, 0, 1}}, kNow, said_);
  EXPECT_NE(said<wire::Join>(), nullptr);
}

TEST_F(ShardTest, SaysLoadedOnlyWhenItsJournalKnowsEveryUnit) {
  start(Mode::kAsync, Durability::kProcess);

  hear(load_order(wire::LoadSource::kInitial));
  EXPECT_EQ(said<wire::Loaded>(), nullptr);
  flush();

  ASSERT_NE(said<wire::Loaded>(), nullptr);
  EXPECT_EQ(said<wire::Loaded>()->incarnation, life_);
}

TEST_F(ShardTest, RefusesAJournalThatLacksAUnit) {
  start(Mode::kAsync, Durability::kProcess);
  hear(load_order(wire::LoadSource::kInitial));
  crash(/*kept=*/1);
  restart();

  hear(load_order(wire::LoadSource::kJournal));

  EXPECT_TRUE(failed());
  EXPECT_FALSE(shard_->serving());
}

TEST_F(ShardTest, AnswersARepeatedLoadOrder) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();

  hear(load_order(wire::LoadSource::kInitial));

  EXPECT_NE(said<wire::Loaded>(), nullptr);
}

TEST_F(ShardTest, IgnoresALoadOrderForAnotherLife) {
  start(Mode::kAsync, Durability::kCheckpoint);
  wire::Load order = load_order(wire::LoadSource::kInitial);
  order.incarnation = life_ + 1;

  hear(order);

  EXPECT_FALSE(shard_->serving());
}

TEST_F(ShardTest, HoldsAnAnswerUntilItIsDurable) {
  start(Mode::kAsync, Durability::kProcess);
  load();

  push({0}, 0, 1);
  EXPECT_EQ(replies(), "");
  flush();

  EXPECT_EQ(replies(), "applied");
}

TEST_F(ShardTest, HoldsOneAnswerHoweverOftenItIsAskedDuringADiskStall) {
  start(Mode::kAsync, Durability::kProcess);
  load();

  for (int repeat = 0; repeat < 100; ++repeat) {
    push({0}, 0, 1);
    push({1}, 0, 2);
    wire::Pull pull;
    pull.entries.push_back(pull_of(0, 3));
    hear(std::move(pull), worker(1));
    hear(wire::FenceOrder{1, {1, 1, 1, 1}});
    wire::Load again = load_order(wire::LoadSource::kInitial);
    again.leader = 1;
    hear(std::move(again));
  }

  EXPECT_EQ(replies(), "");
  EXPECT_EQ(shard_->unsaid_count(), 5u) << "three answers, the marks, and that it has loaded";
  flush();
  EXPECT_EQ(replies(), "applied applied weights");
  EXPECT_NE(said<wire::FenceMarks>(), nullptr);
  EXPECT_EQ(shard_->unsaid_count(), 0u);
}

TEST_F(ShardTest, ForgetsTheUnsaidAnswersOfAPeerThatIsLost) {
  start(Mode::kAsync, Durability::kProcess);
  load();
  push({0}, 0, 1);

  shard_->handle(shard_event::PeerLost{worker(0)}, kNow, said_);
  EXPECT_EQ(shard_->unsaid_count(), 0u);
  push({0}, 0, 1);  // it is back and asks again
  flush();

  EXPECT_EQ(replies(), "already");
}

TEST_F(ShardTest, SaysFreshMarksWhenTheFencesRoseMeanwhile) {
  start(Mode::kAsync, Durability::kProcess);
  load();
  push({0}, 0, 1);

  hear(wire::FenceOrder{1, {1, 1, 1, 1}});
  hear(wire::FenceOrder{1, {2, 1, 1, 1}});
  flush();

  ASSERT_NE(said<wire::FenceMarks>(), nullptr);
  EXPECT_EQ(said<wire::FenceMarks>()->fences, (std::vector<Fence>{2, 1, 1, 1}));
}

TEST_F(ShardTest, HoldsNoSecondCopyOfAGradientThatItsUnitMayWriteOver) {
  constexpr uint64_t kWidth = 10'000;  // 40 kB in unit 0
  start(Mode::kAsync, Durability::kCheckpoint);
  job_.resolved.input_width = kWidth;
  restart();
  load();

  wire::Push message;
  message.entries.push_back(push_of({0}, 0, floats(std::vector<float>(kWidth, 2))));
  const std::byte* gradient = message.entries[0].gradient.data();
  hear(std::move(message), worker(0));

  ASSERT_EQ(replies(), "applied");
  EXPECT_EQ(shard_->units()[0]->weights().current().data(), gradient);
}

TEST_F(ShardTest, NotesPushesThatMakeNoSenseByPeerAndEverMoreSeldom) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();

  push({0}, 0, 1, 9);  // a fence that nobody was told of
  ASSERT_EQ(notes().size(), 1u);
  EXPECT_THAT(notes()[0], AllOf(HasSubstr("dropped a push of worker-0#1, number 1"),
                                HasSubstr("lane 0 clock 0 fence 9"), HasSubstr("above the one")));
  for (int repeat = 2; repeat <= 100; ++repeat) push({77}, 0, 1);
  EXPECT_EQ(notes().size(), 7u) << "at 1, 2, 4, 8, 16, 32, 64";
  EXPECT_THAT(notes().back(), HasSubstr("lane 77 is not among the 4 of the job"));

  wire::Push message;
  message.entries.push_back(push_of({1}, 0, floats({1, 1, 1}), 5));
  hear(std::move(message), worker(1));
  ASSERT_EQ(notes().size(), 8u) << "counted by peer";
  EXPECT_THAT(notes().back(), AllOf(HasSubstr("worker-1#1, number 1"), HasSubstr("12 bytes"),
                                    HasSubstr("unit 0 at version 0 with 8 bytes")));
}

TEST_F(ShardTest, DropsDataMessagesOfAnotherRunAndSaysSo) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  wire::Push foreign;
  foreign.header.run = kRun + 1;
  foreign.entries.push_back(push_of({0}, 0, floats({1, 1})));
  wire::Pull pull;
  pull.header.run = foreign.header.run;
  pull.entries.push_back(pull_of(0, 2));

  hear_as_it_is(foreign, worker(0));
  hear_as_it_is(pull, worker(0));

  EXPECT_EQ(replies(), "");
  ASSERT_EQ(notes().size(), 2u);
  EXPECT_THAT(notes()[0], AllOf(HasSubstr("dropped a message of worker-0#1, number 1"),
                                HasSubstr("of run " + hex64(foreign.header.run)),
                                HasSubstr("expected " + hex64(kRun))));
}

TEST_F(ShardTest, TakesOrdersFromTheCoordinatorOnly) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();

  hear_as_it_is(wire::FenceOrder{1, {9, 9, 9, 9}}, worker(1));
  push({0}, 0, 1);

  EXPECT_EQ(replies(), "applied") << "its fence did not rise";
  ASSERT_EQ(notes().size(), 1u);
  EXPECT_THAT(notes()[0], HasSubstr("only the coordinator gives orders"));
}

TEST_F(ShardTest, DoesNotCountStrangersAsCompany) {
  start(Mode::kAsync, Durability::kCheckpoint);
  hear(wire::Welcome{1, 0});
  load();
  const Duration most = std::chrono::milliseconds(job_.cluster.stuck_after_ms);
  wire::Push foreign;
  foreign.header.run = kRun + 1;

  tick_until(kNow + most - 1s);
  hear_as_it_is(foreign, worker(0));
  tick_until(kNow + 2 * most - 2s);

  EXPECT_TRUE(failed());
}

TEST_F(ShardTest, FailsWhenNeitherCoordinatorNorWorkerIsHeard) {
  start(Mode::kAsync, Durability::kCheckpoint);
  hear(wire::Welcome{1, 0});
  load();
  const Duration most = std::chrono::milliseconds(job_.cluster.stuck_after_ms);

  tick_until(kNow + most - 1s);
  EXPECT_FALSE(failed());
  push({0}, 0, 1);  // the coordinator may be restarted meanwhile
  tick_until(kNow + 2 * most - 2s);
  EXPECT_FALSE(failed());
  tick_until(kNow + 2 * most);

  ASSERT_TRUE(failed());
  EXPECT_THAT(failure().to_string(),
              AllOf(HasSubstr("shard 0: no word from the coordinator"), HasSubstr("for 60.0 s"),
                    HasSubstr("cluster.stuck_after_ms = 60000")));
}

TEST_F(ShardTest, FailsWhenNoCoordinatorWelcomesIt) {
  start(Mode::kAsync, Durability::kCheckpoint);

  tick_until(kNow + std::chrono::milliseconds(job_.cluster.join_deadline_ms));

  ASSERT_TRUE(failed());
  EXPECT_EQ(failure().code(), Code::kDeadline);
  EXPECT_THAT(failure().to_string(), HasSubstr("waiting for a welcome"));
}

TEST_F(ShardTest, KeepsWhatItAcknowledgedThroughACrash) {
  start(Mode::kAsync, Durability::kProcess);
  load();
  push({0, 1}, 0, 1);
  flush();
  push({2}, 0, 2);
  crash(0);
  restart();

  load(wire::LoadSource::kJournal);
  push({0, 1}, 0, 1);
  push({2}, 0, 2);
  flush();

  EXPECT_EQ(replies(), "already applied");
}

TEST_F(ShardTest, AnswersAtOnceWhenACrashMayLoseUpdates) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();

  push({0}, 0, 1);
  flush();

  EXPECT_EQ(replies(), "applied");
}

TEST_F(ShardTest, ReportsNoMarkThatACrashCouldTakeBack) {
  start(Mode::kAsync, Durability::kProcess);
  load();
  push({0}, 0, 1);

  hear(wire::FenceOrder{1, {2, 1, 1, 1}});
  EXPECT_EQ(said<wire::FenceMarks>(), nullptr);
  flush();

  ASSERT_NE(said<wire::FenceMarks>(), nullptr);
  EXPECT_EQ(said<wire::FenceMarks>()->units.at(0).marks[0], 1u);
  EXPECT_EQ(said<wire::FenceMarks>()->fences[0], 2u);
}

TEST_F(ShardTest, RefusesAPushBelowTheFence) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  hear(wire::FenceOrder{1, {2, 1, 1, 1}});

  push({0}, 0, 1, /*fence=*/1);
  EXPECT_EQ(replies(), "fenced");
  push({0}, 0, 2, /*fence=*/2);

  EXPECT_EQ(replies(), "fenced applied");
}

TEST_F(ShardTest, GivesNoAnswerToAFenceItWasNeverTold) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();

  push({0}, 0, 1, /*fence=*/5);

  EXPECT_EQ(replies(), "");
}

TEST_F(ShardTest, TakesTheFencesInForceWithTheOrderToLoad) {
  start(Mode::kAsync, Durability::kProcess);
  load();
  hear(wire::FenceOrder{1, {3, 1, 1, 1}});
  restart();
  wire::Load order = load_order(wire::LoadSource::kJournal);
  order.fences = {3, 1, 1, 1};
  hear(order);
  flush();

  push({0}, 0, 1, /*fence=*/2);

  EXPECT_EQ(replies(), "fenced");
}

TEST_F(ShardTest, AnswersMovedForAUnitThatIsNotHere) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  wire::Push message;
  message.entries.push_back(push_of({0}, 0, floats({1, 1})));
  message.entries[0].epoch = 3;

  hear(message, worker(0));

  EXPECT_EQ(replies(), "moved");
}

TEST_F(ShardTest, RefusesTheOrdersOfAnEarlierLeader) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  hear(wire::FenceOrder{7, {2, 1, 1, 1}});
  said_.clear();

  hear(wire::FenceOrder{6, {9, 9, 9, 9}});

  EXPECT_EQ(said<wire::FenceMarks>(), nullptr);
}

TEST_F(ShardTest, FailsWithTheReasonOfItsStore) {
  start(Mode::kAsync, Durability::kProcess);
  load();
  store_.fail_next(ShardId(0), Status(Code::kExhausted, "disk full"));

  push({0}, 0, 1);
  flush();

  EXPECT_TRUE(failed());
  EXPECT_EQ(replies(), "");
}

}  // namespace
}  // namespace ballast::testing
