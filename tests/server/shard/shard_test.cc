#include "server/shard/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/hash.h"
#include "common/storage/memory_journal.h"
#include "tests/server/shard/shard_fixture.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kRun = 77;

// One shard with both units, the store under it, and what it has said.
class ShardTest : public ::testing::Test {
 protected:
  void start(Mode mode, Durability durability) {
    job_ = small_job(mode);
    job_.checkpoint.durability = durability;
    restart();
  }

  void restart() {
    shard_.reset();
    journal_.reset();
    journal_ = std::make_unique<MemoryJournal>(store_, ShardId(0), job_.checkpoint.durability);
    ShardConfig config;
    config.incarnation = ++life_;
    config.job = job_;
    config.run = kRun;
    config.parameters = parameters_of(job_.model, job_.resolved.input_width);
    config.units = cut_units(config.parameters, job_.cluster.unit_bytes);
    config.job_hash = "job";
    shard_ = std::make_unique<Shard>(*journal_, config, [this](const wire::Load& load) {
      return store_.read_manifest(load.checkpoint);
    });
    said_.clear();
    shard_->start(kNow, said_);
    flush();
  }

  void crash(size_t kept) { store_.crash(ShardId(0), kept); }

  // Everything ordered so far reaches the disk and is reported.
  void flush() {
    store_.make_durable(ShardId(0));
    while (auto event = journal_->poll()) {
      shard_->handle(shard_event::Stored{std::move(*event)}, kNow, said_);
    }
  }

  void hear(wire::Any message, Peer from = {Role::kCoordinator, 0, 1}) {
    if (auto* push = std::get_if<wire::Push>(&message)) push->header.run = kRun;
    if (auto* pull = std::get_if<wire::Pull>(&message)) pull->header.run = kRun;
    hear_as_it_is(std::move(message), from);
  }

  void hear_as_it_is(wire::Any message, Peer from) {
    shard_->handle(shard_event::Received{from, std::move(message)}, kNow, said_);
  }

  wire::Load load_order(wire::LoadSource source) {
    wire::Load load;
    load.incarnation = life_;
    load.source = source;
    load.units = {{UnitId(0), ShardId(0), 0}, {UnitId(1), ShardId(0), 0}};
    load.fences = {1, 1, 1, 1};
    return load;
  }

  void load(wire::LoadSource source = wire::LoadSource::kInitial) {
    hear(load_order(source));
    flush();
    said_.clear();
  }

  void push(std::vector<uint32_t> lanes, Clock clock, uint64_t sequence, Fence fence = 1) {
    wire::Push message;
    message.entries.push_back(push_of(std::move(lanes), clock, floats({1, 1}), sequence, fence));
    hear(std::move(message), worker(0));
  }

  void push_unit_1(std::vector<uint32_t> lanes, Clock clock, uint64_t sequence) {
    wire::Push message;
    message.entries.push_back(push_of(std::move(lanes), clock, floats({1}), sequence));
    message.entries[0].unit = UnitId(1);
    hear(std::move(message), worker(0));
  }

  // The replies said so far, as "code code".
  std::string replies() const {
    std::string codes;
    for (const ShardEffect& effect : said_) {
      const auto* reply = std::get_if<shard_effect::SendReply>(&effect);
      if (reply == nullptr) continue;
      if (!codes.empty()) codes += ' ';
      codes += wire::reply_code_name(reply->entry.code);
    }
    return codes;
  }

  // The last control message of this kind; null: none.
  template <typename Message>
  const Message* said() const {
    const Message* last = nullptr;
    for (const ShardEffect& effect : said_) {
      const auto* control = std::get_if<shard_effect::SendControl>(&effect);
      if (control == nullptr) continue;
      if (const auto* one = std::get_if<Message>(&control->message)) last = one;
    }
    return last;
  }

  bool failed() const {
    return std::any_of(said_.begin(), said_.end(), [](const ShardEffect& effect) {
      return std::holds_alternative<shard_effect::Fail>(effect);
    });
  }

  Status failure() const {
    for (const ShardEffect& effect : said_) {
      if (const auto* fail = std::get_if<shard_effect::Fail>(&effect)) return fail->status;
    }
    return Status();
  }

  std::vector<std::string> notes() const {
    std::vector<std::string> texts;
    for (const ShardEffect& effect : said_) {
      if (const auto* note = std::get_if<shard_effect::Note>(&effect)) texts.push_back(note->text);
    }
    return texts;
  }

  // Every heartbeat from the last one to `time`.
  void tick_until(Time time) {
    const Duration beat = std::chrono::milliseconds(job_.cluster.heartbeat_ms);
    while (ticked_ + beat <= time) {
      ticked_ += beat;
      shard_->handle(shard_event::Tick{}, ticked_, said_);
    }
  }

  Time ticked_ = kNow;
  JobConfig job_;
  MemoryStore store_;
  std::unique_ptr<MemoryJournal> journal_;
  std::unique_ptr<Shard> shard_;
  Incarnation life_ = 0;
  ShardEffects said_;
};

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

TEST_F(ShardTest, CutsInSyncByItselfAtEveryFewSteps) {
  start(Mode::kSync, Durability::kCheckpoint);
  job_.checkpoint.every_steps = 1;
  restart();
  load();
  push({0, 1, 2, 3}, 0, 1);
  EXPECT_EQ(said<wire::PartDone>(), nullptr) << "unit 1 has not closed the step";

  push_unit_1({0, 1, 2, 3}, 0, 2);
  flush();

  ASSERT_NE(said<wire::PartDone>(), nullptr);
  EXPECT_EQ(said<wire::PartDone>()->checkpoint, 1u);
  EXPECT_EQ(said<wire::PartDone>()->part.entries.size(), 2u);
}

TEST_F(ShardTest, LetsNobodyBringTheNextCutWhileAPartIsBeingWritten) {
  start(Mode::kSync, Durability::kCheckpoint);
  job_.checkpoint.every_steps = 2;
  restart();
  load();
  const auto step = [&](Clock clock) {
    push({0, 1, 2, 3}, clock, 2 * clock + 1);
    push_unit_1({0, 1, 2, 3}, clock, 2 * clock + 2);
  };
  step(0);
  step(1);
  EXPECT_EQ(replies(), "closed closed closed closed") << "version 2 is being written, 3 is no cut";

  step(2);
  EXPECT_EQ(replies(), "closed closed closed closed") << "the step after it would publish cut 4";

  flush();
  EXPECT_EQ(said<wire::PartDone>()->checkpoint, 2u);
  EXPECT_EQ(replies(), "closed closed closed closed closed closed");
}

TEST_F(ShardTest, WritesOnePartAtATime) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  hear(wire::CheckpointOrder{1, 4});
  hear(wire::CheckpointOrder{1, 5});
  EXPECT_EQ(store_.waiting(ShardId(0)), 1u);

  flush();
  EXPECT_EQ(said<wire::PartDone>()->checkpoint, 4u);
  flush();

  EXPECT_EQ(said<wire::PartDone>()->checkpoint, 5u) << "it waited for the one before";
}

TEST_F(ShardTest, LetsGoOfTheWeightsThatAreBeingWritten) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  const long holders = shard_->units()[0]->weights().current().owner().use_count();

  hear(wire::CheckpointOrder{1, 4});

  EXPECT_EQ(shard_->units()[0]->weights().current().owner().use_count(), holders);
}

TEST_F(ShardTest, CutsInSyncOnlyAtTheVersionThatIsOrdered) {
  start(Mode::kSync, Durability::kCheckpoint);
  load();
  push({0, 1, 2, 3}, 0, 1);

  hear(wire::CheckpointOrder{1, 1});  // unit 1 is still at version 0
  flush();

  EXPECT_EQ(said<wire::PartDone>(), nullptr);
}

TEST_F(ShardTest, AnswersARepeatedCheckpointOrderWithThePartItHas) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  hear(wire::CheckpointOrder{1, 4});
  flush();
  ASSERT_NE(said<wire::PartDone>(), nullptr);
  const uint64_t hash = said<wire::PartDone>()->part.xxh3;
  said_.clear();
  push({0}, 0, 1);

  hear(wire::CheckpointOrder{1, 4});

  ASSERT_NE(said<wire::PartDone>(), nullptr);
  EXPECT_EQ(said<wire::PartDone>()->part.xxh3, hash);
}

TEST_F(ShardTest, CountsThePartItsEarlierLifeHelpedToCommit) {
  start(Mode::kSync, Durability::kProcess);
  load();
  push({0, 1, 2, 3}, 0, 1);
  push_unit_1({0, 1, 2, 3}, 0, 2);
  hear(wire::CheckpointOrder{1, 1});
  flush();
  ASSERT_NE(said<wire::PartDone>(), nullptr);
  CheckpointManifest manifest;
  manifest.id = said<wire::PartDone>()->checkpoint;
  manifest.parts = {said<wire::PartDone>()->part};
  ASSERT_TRUE(store_.commit_manifest(manifest).ok());
  restart();
  load(wire::LoadSource::kJournal);

  hear(wire::CheckpointOrder{1, 1});
  flush();

  EXPECT_FALSE(failed());
  ASSERT_NE(said<wire::PartDone>(), nullptr);
  EXPECT_EQ(said<wire::PartDone>()->part.xxh3, manifest.parts[0].xxh3);
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
