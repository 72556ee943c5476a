// What only the memory journal has: the simulator decides what a crash loses.
#include <gtest/gtest.h>

#include "common/storage/memory_journal.h"
#include "tests/common/storage/images.h"

namespace ballast {
namespace {

constexpr ShardId kShard(0);

Version stored_version(MemoryStore& store) {
  MemoryJournal journal(store, kShard, Durability::kProcess);
  journal.fetch({UnitId(0)});
  store.make_durable(kShard);
  const std::optional<JournalEvent> event = journal.poll();
  const auto& images = std::get<Fetched>(*event).images;
  return images.empty() ? 0 : images[0].version;
}

TEST(MemoryStore, FlushesTheOldestOrdersFirstAndOnlySoMany) {
  MemoryStore store;
  int notified = 0;
  MemoryJournal journal(store, kShard, Durability::kProcess, [&] { ++notified; });
  for (Version version : {1, 2, 3}) journal.append(make_image(0, version, 4));

  EXPECT_EQ(store.flush(kShard, 2), 2u);

  EXPECT_EQ(store.waiting(kShard), 1u);
  EXPECT_EQ(notified, 2);
  EXPECT_EQ(std::get<Durable>(*journal.poll()).lsn, 1u);
  EXPECT_EQ(std::get<Durable>(*journal.poll()).lsn, 2u);
  EXPECT_FALSE(journal.poll().has_value());
}

TEST(MemoryStore, CrashKeepsOnlyAsManyOrdersAsItIsTold) {
  for (size_t kept : {0, 1, 2, 3, 4}) {
    MemoryStore store;
    {
      MemoryJournal journal(store, kShard, Durability::kProcess);
      for (Version version : {1, 2, 3}) journal.append(make_image(0, version, 4));
      store.crash(kShard, kept);
      EXPECT_FALSE(journal.poll().has_value()) << "the dead hear nothing";
    }
    EXPECT_EQ(stored_version(store), std::min<size_t>(kept, 3));
  }
}

TEST(MemoryStore, DestroyedJournalLosesWhatWaited) {
  MemoryStore store;
  {
    MemoryJournal journal(store, kShard, Durability::kProcess);
    journal.append(make_image(0, 1, 4));
    store.make_durable(kShard);
    journal.append(make_image(0, 2, 4));
  }

  EXPECT_EQ(stored_version(store), 1u);
}

TEST(MemoryStore, FailsTheNextOrderAndEveryAppendAfterALostOne) {
  MemoryStore store;
  MemoryJournal journal(store, kShard, Durability::kProcess);
  store.fail_next(kShard, Status(Code::kExhausted, "disk full"));
  journal.append(make_image(0, 1, 4));
  journal.append(make_image(0, 2, 4));
  journal.cut(1, {make_image(0, 2, 4)});

  store.make_durable(kShard);

  const std::optional<JournalEvent> event = journal.poll();
  EXPECT_EQ(std::get<StoreFailed>(*event).lsn, 1u);
  EXPECT_EQ(std::get<StoreFailed>(*event).status.code(), Code::kExhausted);
  EXPECT_TRUE(std::holds_alternative<CutDone>(*journal.poll()));
  EXPECT_FALSE(journal.poll().has_value());
}

TEST(MemoryStore, NewestCheckpointPassesOverDamagedOnesAndKeepsThem) {
  MemoryStore store;
  MemoryJournal journal(store, kShard, Durability::kCheckpoint);
  for (CutId id : {1, 2, 3}) {
    journal.cut(id, {make_image(0, id, 4)});
    store.make_durable(kShard);
    CheckpointManifest manifest;
    manifest.id = id;
    manifest.parts = {std::get<CutDone>(*journal.poll()).part};
    ASSERT_TRUE(store.commit_manifest(manifest).ok());
  }
  store.part_bytes(3, kShard)->data()[100] ^= std::byte(1);

  store.remove_old(1);

  const auto newest = store.newest_checkpoint();
  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_EQ(newest->id, 2u);
  EXPECT_FALSE(store.read_manifest(1).ok());
}

}  // namespace
}  // namespace ballast
