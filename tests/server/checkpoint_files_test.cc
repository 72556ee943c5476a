#include "server/checkpoint_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/hash.h"
#include "common/storage/checkpoint.h"
#include "tests/common/storage/images.h"
#include "tests/common/storage/temporary_folder.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kElements = 30;

class CheckpointFiles : public ::testing::Test {
 protected:
  // Checkpoint 7, whose units come from `version`.
  CheckpointManifest write(Version version, CutId id = 7) {
    CheckpointManifest manifest;
    manifest.id = id;
    manifest.lanes = 4;
    manifest.job_hash = "job";
    Result<CheckpointPart> part = write_part(run_dir(), id, 0, {make_image(0, version, kElements)});
    BALLAST_CHECK_MSG(part.ok(), part.status().to_string());
    manifest.parts.push_back(*part);
    return manifest;
  }
  [[nodiscard]] const std::string& run_dir() const { return folder_.path(); }
  [[nodiscard]] bool there(const std::string& path) const { return std::filesystem::exists(path); }

  TemporaryFolder folder_;
};

TEST_F(CheckpointFiles, ConfirmsTheSamePartsThatAreCommittedAlready) {
  const CheckpointManifest manifest = write(7);
  ASSERT_TRUE(commit_or_confirm(run_dir(), manifest).ok());

  EXPECT_TRUE(commit_or_confirm(run_dir(), manifest).ok());
}

TEST_F(CheckpointFiles, NamesBothWhenOtherPartsAreCommittedAlready) {
  const CheckpointManifest other = write(8);
  const CheckpointManifest manifest = write(7);
  ASSERT_TRUE(commit_manifest(run_dir(), manifest).ok());

  const Status status = commit_or_confirm(run_dir(), other);

  EXPECT_EQ(status.code(), Code::kConflict);
  EXPECT_THAT(status.to_string(), AllOf(HasSubstr("checkpoint 7 is already committed"),
                                        HasSubstr(hex64(manifest.parts[0].xxh3)),
                                        HasSubstr(hex64(other.parts[0].xxh3))));
  EXPECT_EQ(read_manifest(run_dir(), 7)->parts, manifest.parts);
}

TEST_F(CheckpointFiles, RefusesPartsThatContradictEachOtherInsteadOfAborting) {
  CheckpointManifest manifest = write(7);
  manifest.parts.push_back(manifest.parts[0]);
  manifest.parts[1].file = "part-1.blp";

  const Status status = commit_or_confirm(run_dir(), manifest);

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.to_string(), HasSubstr("unit 0 is listed twice"));
}

TEST_F(CheckpointFiles, SetsDamagedNewerCheckpointsAsideAndLeavesTheRest) {
  for (CutId id : {5, 10, 15}) ASSERT_TRUE(commit_manifest(run_dir(), write(id, id)).ok());
  flip_bit(checkpoint_folder(run_dir(), 10) + "/part-0.blp", 100);
  flip_bit(checkpoint_folder(run_dir(), 15) + "/manifest", 30);
  ASSERT_EQ(newest_checkpoint(run_dir())->manifest.id, 5u);

  const std::vector<std::string> lines = set_aside_newer_than(run_dir(), 5);

  EXPECT_THAT(lines, ElementsAre(HasSubstr("00010.damaged"), HasSubstr("00015.damaged")));
  EXPECT_TRUE(there(checkpoint_folder(run_dir(), 5)));
  EXPECT_FALSE(there(checkpoint_folder(run_dir(), 10)));
  EXPECT_TRUE(there(checkpoint_folder(run_dir(), 10) + ".damaged"));
  EXPECT_TRUE(commit_manifest(run_dir(), write(10, 10)).ok()) << "its number is free again";
  EXPECT_EQ(newest_checkpoint(run_dir())->manifest.id, 10u);
}

}  // namespace
}  // namespace ballast::testing
