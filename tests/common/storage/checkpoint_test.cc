#include "common/storage/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/common/storage/images.h"
#include "tests/common/storage/temporary_folder.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr size_t kElements = 300;

// A run directory with checkpoints of four units over two shards.
class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointManifest write(CutId id) {
    CheckpointManifest manifest;
    manifest.id = id;
    manifest.clock = id * 10;
    manifest.mode = Mode::kAsync;
    manifest.lanes = 4;
    manifest.job_hash = "00c0ffee00c0ffee";
    manifest.config = "[job]\nname = \"digits\"\n";
    for (uint32_t shard : {0u, 1u}) {
      Result<CheckpointPart> part =
          write_part(run_dir(), id, shard, {image_of(shard * 2, id), image_of(shard * 2 + 1, id)});
      BALLAST_CHECK_MSG(part.ok(), part.status().to_string());
      manifest.parts.push_back(*part);
    }
    return manifest;
  }
  CheckpointManifest write_and_commit(CutId id) {
    CheckpointManifest manifest = write(id);
    const Status status = commit_manifest(run_dir(), manifest);
    BALLAST_CHECK_MSG(status.ok(), status.to_string());
    return manifest;
  }
  static UnitImage image_of(uint32_t unit, CutId id) { return make_image(unit, id, kElements); }
  [[nodiscard]] std::string file(CutId id, const std::string& name) const {
    return checkpoint_folder(run_dir(), id) + "/" + name;
  }
  [[nodiscard]] const std::string& run_dir() const { return folder_.path(); }

  TemporaryFolder folder_;
};

TEST_F(CheckpointTest, LoadsTheSameBytesIntoAnotherGrouping) {
  const CheckpointManifest manifest = write_and_commit(42);
  const std::vector<UnitId> units = {UnitId(3), UnitId(0), UnitId(2)};

  const auto read = read_manifest(run_dir(), 42);
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  const auto images = load_units(run_dir(), *read, units);

  ASSERT_TRUE(images.ok()) << images.status().to_string();
  ASSERT_THAT(*images, SizeIs(3));
  for (size_t index = 0; index < units.size(); ++index) {
    EXPECT_TRUE(same_image((*images)[index], image_of(units[index].value(), 42)));
  }
  EXPECT_EQ(read->clock, 420u);
  EXPECT_EQ(read->mode, Mode::kAsync);
  EXPECT_EQ(read->lanes, 4u);
  EXPECT_EQ(read->job_hash, manifest.job_hash);
  EXPECT_EQ(read->config, manifest.config);
}

TEST_F(CheckpointTest, SaysInTheManifestWhichRowsItRestsOn) {
  write_and_commit(42);
  const UnitImage unit = image_of(0, 42);

  const std::vector<LaneLedger> ledger = ledger_of(*read_manifest(run_dir(), 42));

  ASSERT_THAT(ledger, SizeIs(3));
  for (size_t lane = 0; lane < 3; ++lane) {
    EXPECT_EQ(ledger[lane], (LaneLedger{unit.marks[lane], unit.ledger[lane]}));
  }
  EXPECT_EQ(sum_of(ledger), unit.ledger[0] + unit.ledger[1] + unit.ledger[2]);
}

TEST_F(CheckpointTest, RefusesTwoLedgers) {
  CheckpointManifest manifest = write(42);
  for (CheckpointPart& part : manifest.parts) part.ledger = {{1, 2}};

  EXPECT_THAT(check_parts(manifest.parts).to_string(),
              HasSubstr("part-0.blp and part-1.blp both have an order ledger"));
}

TEST_F(CheckpointTest, NamesTheUnitThatIsInNoPart) {
  const CheckpointManifest manifest = write_and_commit(42);
  const std::vector<UnitId> units = {UnitId(9)};

  const auto images = load_units(run_dir(), manifest, units);

  ASSERT_FALSE(images.ok());
  EXPECT_EQ(images.status().code(), Code::kNotFound);
  EXPECT_THAT(images.status().to_string(), HasSubstr("unit 9"));
}

TEST_F(CheckpointTest, WithoutAManifestIsNone) {
  (void)write(1);

  const auto newest = newest_checkpoint(run_dir());

  ASSERT_FALSE(newest.ok());
  EXPECT_EQ(newest.status().code(), Code::kNotFound);
}

TEST_F(CheckpointTest, NewestPassesOverUncommittedOnesWithoutComplaint) {
  write_and_commit(1);
  (void)write(2);

  const auto newest = newest_checkpoint(run_dir());

  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_EQ(newest->manifest.id, 1u);
  EXPECT_THAT(newest->rejected, SizeIs(0));
}

TEST_F(CheckpointTest, NewestRejectsDamagedOnesWithFileAndOffset) {
  write_and_commit(1);
  const CheckpointManifest flipped = write_and_commit(2);
  write_and_commit(3);
  write_and_commit(4);
  write_and_commit(5);
  const CheckpointEntry second = flipped.parts[1].entries[1];
  flip_bit(file(2, "part-1.blp"), second.offset + 700, 3);
  std::filesystem::resize_file(file(3, "part-0.blp"), 1000);
  std::filesystem::remove(file(4, "part-1.blp"));
  flip_bit(file(5, "manifest"), 60, 7);

  const auto newest = newest_checkpoint(run_dir());

  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_EQ(newest->manifest.id, 1u);
  ASSERT_THAT(newest->rejected, SizeIs(4));
  EXPECT_THAT(newest->rejected[0].to_string(),
              AllOf(HasSubstr(file(5, "manifest")), HasSubstr("xxh3 stored"), HasSubstr("found")));
  EXPECT_THAT(newest->rejected[1].to_string(),
              AllOf(HasSubstr(file(4, "part-1.blp")), HasSubstr("found no such file")));
  EXPECT_THAT(
      newest->rejected[2].to_string(),
      AllOf(HasSubstr(file(3, "part-0.blp")), HasSubstr("at byte 1000"), HasSubstr("found 1000")));
  EXPECT_THAT(
      newest->rejected[3].to_string(),
      AllOf(HasSubstr(file(2, "part-1.blp")), HasSubstr("at byte " + std::to_string(second.offset)),
            HasSubstr("unit 3"), HasSubstr("xxh3 stored")));
}

TEST_F(CheckpointTest, SaysSoWhenNoneIsWhole) {
  write_and_commit(1);
  flip_bit(file(1, "part-0.blp"), 100);

  const auto newest = newest_checkpoint(run_dir());

  ASSERT_FALSE(newest.ok());
  EXPECT_EQ(newest.status().code(), Code::kDataLoss);
  EXPECT_THAT(newest.status().to_string(),
              AllOf(HasSubstr("none of 1"), HasSubstr("checkpoint 1 is rejected")));
}

TEST_F(CheckpointTest, RefusesAWholePartOfAnotherCheckpoint) {
  const CheckpointManifest manifest = write_and_commit(1);
  write_and_commit(2);
  std::filesystem::copy_file(file(2, "part-0.blp"), file(1, "part-0.blp"),
                             std::filesystem::copy_options::overwrite_existing);
  const std::vector<UnitId> units = {UnitId(0)};

  const auto images = load_units(run_dir(), manifest, units);

  ASSERT_FALSE(images.ok());
  EXPECT_EQ(images.status().code(), Code::kDataLoss);
  EXPECT_FALSE(verify_parts(run_dir(), manifest).ok());
}

TEST_F(CheckpointTest, NeverOverwritesACommittedOne) {
  const CheckpointManifest manifest = write_and_commit(1);

  EXPECT_EQ(write_part(run_dir(), 1, 0, {}).status().code(), Code::kConflict);
  EXPECT_EQ(commit_manifest(run_dir(), manifest).code(), Code::kConflict);
  EXPECT_TRUE(verify_parts(run_dir(), manifest).ok());
}

TEST_F(CheckpointTest, RepeatsARoundThatWasNotCommitted) {
  (void)write(1);

  write_and_commit(1);

  EXPECT_TRUE(newest_checkpoint(run_dir()).ok());
}

TEST_F(CheckpointTest, RemovesOldOnesAndWhatNeverBecameOne) {
  write_and_commit(1);
  (void)write(2);
  write_and_commit(3);
  write_and_commit(4);
  (void)write(5);  // a round on its way

  ASSERT_TRUE(remove_old(run_dir(), 2).ok());

  EXPECT_FALSE(std::filesystem::exists(checkpoint_folder(run_dir(), 1)));
  EXPECT_FALSE(std::filesystem::exists(checkpoint_folder(run_dir(), 2)));
  EXPECT_TRUE(std::filesystem::exists(file(3, "manifest")));
  EXPECT_TRUE(std::filesystem::exists(file(4, "manifest")));
  EXPECT_TRUE(std::filesystem::exists(checkpoint_folder(run_dir(), 5)));
}

TEST_F(CheckpointTest, KeepsTheNewestGoodOneWhenNewerOnesAreDamaged) {
  write_and_commit(1);
  write_and_commit(2);
  write_and_commit(3);
  flip_bit(file(2, "part-0.blp"), 100);
  flip_bit(file(3, "part-1.blp"), 100);

  ASSERT_TRUE(remove_old(run_dir(), 1).ok());

  const auto newest = newest_checkpoint(run_dir());
  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_EQ(newest->manifest.id, 1u);
}

TEST_F(CheckpointTest, RemovesNothingWhenNoneIsGood) {
  write_and_commit(1);
  flip_bit(file(1, "part-0.blp"), 100);

  ASSERT_TRUE(remove_old(run_dir(), 1).ok());

  EXPECT_TRUE(std::filesystem::exists(file(1, "manifest")));
}

TEST_F(CheckpointTest, TakesAnEmptyPart) {
  CheckpointManifest manifest = write(1);
  const auto part = write_part(run_dir(), 1, 2, {});
  ASSERT_TRUE(part.ok()) << part.status().to_string();
  manifest.parts.push_back(*part);

  ASSERT_TRUE(commit_manifest(run_dir(), manifest).ok());

  EXPECT_TRUE(newest_checkpoint(run_dir()).ok());
}

TEST_F(CheckpointTest, NamesTheFolderItMayNotWrite) {
  const auto part = write_part("/proc/no-such-run", 1, 0, {});

  ASSERT_FALSE(part.ok());
  EXPECT_THAT(part.status().to_string(), HasSubstr("/proc/no-such-run"));
}

// Structure is checked behind the hash as well: a manifest with a good hash may come from a bug.
TEST(ManifestFuzz, FlippedBitsNeverCrashAndNeverChangeMeaningUnseen) {
  CheckpointManifest manifest;
  manifest.job_hash = "job";
  manifest.config = "config";
  CheckpointPart part;
  part.file = "part-0.blp";
  part.entries = {{UnitId(0), 0, 128, 1, 17}, {UnitId(1), 128, 64, 1, 18}};
  part.bytes = 192;
  part.xxh3 = part_xxh3(part.entries);
  manifest.parts = {part};
  const Buffer bytes = encode_manifest(manifest);
  Random random(20);

  size_t refused = 0;
  for (int round = 0; round < 20000; ++round) {
    Buffer damaged = Buffer::copy_of(bytes.bytes());
    for (uint64_t flips = 1 + random.below(4); flips > 0; --flips) {
      damaged.data()[random.below(damaged.size())] ^= std::byte(1 << random.below(8));
    }
    const size_t size = random.chance(0.1) ? random.below(damaged.size()) : damaged.size();
    const auto decoded = decode_manifest(std::as_const(damaged).bytes().first(size));
    if (!decoded.ok()) ++refused;
    // What still decodes is a manifest that does not contradict itself.
    if (decoded.ok()) (void)encode_manifest(*decoded);
  }

  EXPECT_GT(refused, 10000u);
}

TEST_F(CheckpointTest, FilesWithFlippedBitsNeverLoadWrongBytes) {
  const CheckpointManifest manifest = write_and_commit(1);
  const std::vector<UnitId> units = {UnitId(0), UnitId(1), UnitId(2), UnitId(3)};
  const std::vector<std::string> files = {"manifest", "part-0.blp", "part-1.blp"};
  Random random(21);

  for (int round = 0; round < 300; ++round) {
    const std::string path = file(1, files[random.below(files.size())]);
    const uint64_t byte = random.below(std::filesystem::file_size(path));
    const int bit = static_cast<int>(random.below(8));
    flip_bit(path, byte, bit);

    EXPECT_FALSE(newest_checkpoint(run_dir()).ok()) << path << " byte " << byte << " bit " << bit;
    const auto read = read_manifest(run_dir(), 1);
    EXPECT_FALSE(read.ok() && load_units(run_dir(), *read, units).ok());

    flip_bit(path, byte, bit);
  }

  EXPECT_TRUE(newest_checkpoint(run_dir()).ok());
}

}  // namespace
}  // namespace ballast
