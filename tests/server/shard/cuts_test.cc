// A shard's parts of checkpoints: when they are cut, and that one is written at a time.
#include <gtest/gtest.h>

#include "tests/server/shard/shard_test_case.h"

namespace ballast::testing {
namespace {

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

TEST_F(ShardTest, BringsTheLedgerOfUnit0WithItsPart) {
  start(Mode::kAsync, Durability::kCheckpoint);
  load();
  push({0, 2}, 0, 1);

  hear(wire::CheckpointOrder{1, 4});
  flush();

  ASSERT_NE(said<wire::PartDone>(), nullptr);
  EXPECT_EQ(said<wire::PartDone>()->part.ledger,
            (std::vector<LaneLedger>{{1, 1000}, {0, 0}, {1, 1002}, {0, 0}}));
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

}  // namespace
}  // namespace ballast::testing
