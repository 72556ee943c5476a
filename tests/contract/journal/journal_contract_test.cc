// The contract of door 2 (common/storage/journal.h), one suite over every implementation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <stdexcept>

#include "tests/common/storage/images.h"
#include "tests/contract/journal/disk_world.h"
#include "tests/contract/journal/memory_world.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr size_t kElements = 500;
constexpr ShardId kShard(0);
constexpr ShardId kOtherShard(1);

std::vector<UnitId> ids(std::initializer_list<uint32_t> values) {
  std::vector<UnitId> units;
  for (uint32_t value : values) units.emplace_back(value);
  return units;
}

class JournalContract : public ::testing::TestWithParam<NamedWorld> {
 protected:
  void SetUp() override {
    world_ = GetParam().make();
    reopen();
  }

  void reopen() {
    journal_.reset();
    journal_ = world_->open(kShard);
  }

  template <typename Event>
  Event expect(ShardId shard, Journal& journal) {
    std::optional<JournalEvent> event = world_->next(shard, journal);
    if (!event) throw std::runtime_error("no event came");
    if (auto* failed = std::get_if<StoreFailed>(&*event);
        failed != nullptr && !std::is_same_v<Event, StoreFailed>) {
      throw std::runtime_error(failed->status.to_string());
    }
    if (!std::holds_alternative<Event>(*event)) throw std::runtime_error("another event came");
    return std::get<Event>(std::move(*event));
  }
  template <typename Event>
  Event expect() {
    return expect<Event>(kShard, *journal_);
  }

  void expect_durable(Lsn lsn) {
    while (expect<Durable>().lsn < lsn) {
    }
  }
  std::vector<UnitImage> fetched(std::vector<UnitId> units) {
    const Ticket ticket = journal_->fetch(std::move(units));
    for (;;) {
      std::optional<JournalEvent> event = world_->next(kShard, *journal_);
      if (!event) throw std::runtime_error("nothing was fetched");
      if (std::holds_alternative<Durable>(*event)) continue;
      auto answer = std::get<Fetched>(std::move(*event));
      EXPECT_EQ(answer.ticket, ticket);
      return std::move(answer.images);
    }
  }

  // Checkpoint 7 of units 0..2 by the first shard, 3 and 4 by the other.
  CheckpointManifest write_checkpoint() {
    std::unique_ptr<Journal> other = world_->open(kOtherShard);
    journal_->cut(7, {image_of(2), image_of(0), image_of(1)});
    other->cut(7, {image_of(3), image_of(4)});
    CheckpointManifest manifest;
    manifest.id = 7;
    manifest.job_hash = "job";
    manifest.config = "config";
    manifest.parts.push_back(expect<CutDone>().part);
    manifest.parts.push_back(expect<CutDone>(kOtherShard, *other).part);
    const Status status = world_->commit(manifest);
    EXPECT_TRUE(status.ok()) << status.to_string();
    return manifest;
  }
  static UnitImage image_of(uint32_t unit) { return make_image(unit, 70 + unit, kElements); }

  std::unique_ptr<JournalWorld> world_;
  std::unique_ptr<Journal> journal_;
};

// Opened for "process" or "machine", and for "checkpoint".
class KeepingJournal : public JournalContract {};
class ForgettingJournal : public JournalContract {};

TEST_P(JournalContract, SaysWhatItsDurableMeans) {
  EXPECT_EQ(journal_->durability(), GetParam().durability);
}

TEST_P(JournalContract, HasNothingToSayBeforeItIsAsked) {
  EXPECT_FALSE(journal_->poll().has_value());
}

TEST_P(JournalContract, NumbersAppendsFromOneAndSaysWhenTheyAreDurable) {
  EXPECT_EQ(journal_->append(make_image(0, 1, kElements)), 1u);
  EXPECT_EQ(journal_->append(make_image(1, 1, kElements)), 2u);

  expect_durable(2);
}

TEST_P(JournalContract, DurableNeverFallsAndReachesTheLastAppend) {
  Lsn last = 0;
  for (Version version = 1; version <= 100; ++version) {
    last = journal_->append(make_image(static_cast<uint32_t>(version % 3), version, kElements));
  }

  Lsn durable = 0;
  while (durable < last) {
    const Lsn next = expect<Durable>().lsn;
    EXPECT_GT(next, durable);
    durable = next;
  }
  EXPECT_EQ(durable, last);
}

TEST_P(KeepingJournal, FetchSeesTheNewestAppendOfEachUnit) {
  for (Version version = 1; version <= 5; ++version) {
    journal_->append(make_image(0, version, kElements));
    journal_->write_back(make_image(1, version * 10, kElements));
  }

  const auto images = fetched(ids({1, 9, 0}));

  ASSERT_THAT(images, SizeIs(2));
  EXPECT_TRUE(same_image(images[0], make_image(1, 50, kElements)));
  EXPECT_TRUE(same_image(images[1], make_image(0, 5, kElements)));
}

TEST_P(KeepingJournal, ReopenedShowsTheNewestDurableImages) {
  journal_->append(make_image(0, 1, kElements));
  journal_->append(make_image(1, 1, kElements));
  expect_durable(journal_->append(make_image(0, 2, kElements)));

  reopen();

  const auto images = fetched(ids({0, 1}));
  ASSERT_THAT(images, SizeIs(2));
  EXPECT_TRUE(same_image(images[0], make_image(0, 2, kElements)));
  EXPECT_TRUE(same_image(images[1], make_image(1, 1, kElements)));
}

TEST_P(KeepingJournal, DestroyedWithWorkWaitingLeavesWholeImagesOnly) {
  for (int life = 0; life < 5; ++life) {
    std::map<uint32_t, Version> newest;
    for (Version version = 1; version <= 20; ++version) {
      const auto unit = static_cast<uint32_t>(version % 4);
      newest[unit] = static_cast<Version>(life) * 100 + version;
      journal_->append(make_image(unit, newest[unit], kElements));
    }

    reopen();

    for (const UnitImage& image : fetched(ids({0, 1, 2, 3}))) {
      EXPECT_LE(image.version, newest[image.unit.value()]);
      EXPECT_TRUE(same_image(image, make_image(image.unit.value(), image.version, kElements)));
    }
  }
}

TEST_P(ForgettingJournal, KeepsNoAppendsAndTakesImagesWithoutTensors) {
  UnitImage bare;
  bare.unit = UnitId(0);

  expect_durable(journal_->append(std::move(bare)));

  EXPECT_THAT(fetched(ids({0})), IsEmpty());
}

TEST_P(JournalContract, CutThenOpenGivesTheSameBytesInAnyGrouping) {
  const CheckpointManifest manifest = write_checkpoint();

  reopen();
  const std::vector<UnitId> units = ids({4, 1, 3});
  const Ticket ticket = journal_->open(manifest, units);

  const Fetched loaded = expect<Fetched>();
  EXPECT_EQ(loaded.ticket, ticket);
  ASSERT_THAT(loaded.images, SizeIs(3));
  for (size_t index = 0; index < units.size(); ++index) {
    EXPECT_TRUE(same_image(loaded.images[index], image_of(units[index].value())));
  }
}

TEST_P(JournalContract, CutListsItsUnitsWithTheirVersions) {
  const CheckpointManifest manifest = write_checkpoint();

  ASSERT_THAT(manifest.parts[0].entries, SizeIs(3));
  EXPECT_EQ(manifest.parts[0].shard, kShard.value());
  EXPECT_EQ(manifest.parts[0].entries[0].unit, UnitId(2));
  EXPECT_EQ(manifest.parts[0].entries[0].version, 72u);
  EXPECT_EQ(manifest.parts[1].shard, kOtherShard.value());
}

TEST_P(JournalContract, CutsTheImagesItWasGivenNotThoseAppendedLater) {
  journal_->append(make_image(0, 1, kElements));
  journal_->cut(3, {make_image(0, 1, kElements)});
  journal_->append(make_image(0, 2, kElements));

  std::optional<CheckpointPart> part;
  while (!part) {
    std::optional<JournalEvent> event = world_->next(kShard, *journal_);
    ASSERT_TRUE(event.has_value());
    if (auto* done = std::get_if<CutDone>(&*event)) part = done->part;
  }

  ASSERT_THAT(part->entries, SizeIs(1));
  EXPECT_EQ(part->entries[0].version, 1u);
}

TEST_P(JournalContract, OpenOfAUnitThatIsInNoPartFailsAndNamesIt) {
  const CheckpointManifest manifest = write_checkpoint();

  const Ticket ticket = journal_->open(manifest, ids({0, 99}));

  const StoreFailed failed = expect<StoreFailed>();
  EXPECT_EQ(failed.ticket, ticket);
  EXPECT_EQ(failed.status.code(), Code::kNotFound);
  EXPECT_THAT(failed.status.to_string(), HasSubstr("unit 99"));
}

TEST_P(JournalContract, OpenOfAFlippedBitFailsAndNamesFileAndOffset) {
  const CheckpointManifest manifest = write_checkpoint();
  const CheckpointEntry& entry = manifest.parts[1].entries[1];
  world_->flip_bit(7, kOtherShard, entry.offset + entry.bytes / 2);

  journal_->open(manifest, ids({0, 4}));

  const StoreFailed failed = expect<StoreFailed>();
  EXPECT_EQ(failed.status.code(), Code::kDataLoss);
  EXPECT_THAT(failed.status.to_string(), AllOf(HasSubstr(world_->part_name(7, kOtherShard)),
                                               HasSubstr("at byte " + std::to_string(entry.offset)),
                                               HasSubstr("stored"), HasSubstr("found")));
}

TEST_P(JournalContract, OpenOfATruncatedPartFailsAndNamesFileAndOffset) {
  const CheckpointManifest manifest = write_checkpoint();
  world_->truncate(7, kShard, 640);

  journal_->open(manifest, ids({0}));

  const StoreFailed failed = expect<StoreFailed>();
  EXPECT_EQ(failed.status.code(), Code::kDataLoss);
  EXPECT_THAT(failed.status.to_string(), AllOf(HasSubstr(world_->part_name(7, kShard)),
                                               HasSubstr("at byte 640"), HasSubstr("found 640")));
}

TEST_P(JournalContract, DamageOfOtherUnitsDoesNotHarm) {
  const CheckpointManifest manifest = write_checkpoint();
  world_->flip_bit(7, kOtherShard, manifest.parts[1].entries[1].offset + 64);

  journal_->open(manifest, ids({3}));

  EXPECT_THAT(expect<Fetched>().images, SizeIs(1));
}

TEST_P(JournalContract, CutOfACommittedCheckpointFailsAndLeavesItWhole) {
  const CheckpointManifest manifest = write_checkpoint();

  journal_->cut(7, {make_image(0, 1, kElements)});

  const StoreFailed failed = expect<StoreFailed>();
  EXPECT_EQ(failed.cut, 7u);
  EXPECT_EQ(failed.status.code(), Code::kConflict);
  journal_->open(manifest, ids({0, 1, 2}));
  EXPECT_THAT(expect<Fetched>().images, SizeIs(3));
}

TEST_P(KeepingJournal, OpenDoesNotTouchWhatAppendStored) {
  expect_durable(journal_->append(make_image(0, 1, kElements)));
  const CheckpointManifest manifest = write_checkpoint();
  journal_->open(manifest, ids({0}));
  (void)expect<Fetched>();

  const auto images = fetched(ids({0}));

  ASSERT_THAT(images, SizeIs(1));
  EXPECT_EQ(images[0].version, 1u);
}

std::vector<NamedWorld> worlds(std::initializer_list<Durability> durabilities) {
  static const std::map<Durability, std::string> names = {{Durability::kCheckpoint, "checkpoint"},
                                                          {Durability::kProcess, "process"},
                                                          {Durability::kMachine, "machine"}};
  std::vector<NamedWorld> all;
  for (Durability durability : durabilities) {
    all.push_back({"memory_" + names.at(durability), durability,
                   [durability] { return std::make_unique<MemoryWorld>(durability); }});
    all.push_back({"disk_" + names.at(durability), durability,
                   [durability] { return std::make_unique<DiskWorld>(durability); }});
  }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<NamedWorld>& world) {
  return world.param.name;
}

INSTANTIATE_TEST_SUITE_P(Worlds, JournalContract,
                         ::testing::ValuesIn(worlds({Durability::kCheckpoint, Durability::kProcess,
                                                     Durability::kMachine})),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Worlds, KeepingJournal,
                         ::testing::ValuesIn(worlds({Durability::kProcess, Durability::kMachine})),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Worlds, ForgettingJournal,
                         ::testing::ValuesIn(worlds({Durability::kCheckpoint})), name_of);

}  // namespace
}  // namespace ballast
