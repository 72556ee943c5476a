// Damage of every kind is found, named and survived.
#include <gmock/gmock.h>

#include <filesystem>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/dataset.h"
#include "worker/data/eval_loader.h"
#include "worker/data/examine.h"
#include "worker/data/sealed.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

class CorruptionTest : public DataFixture {
 protected:
  CorruptionTest()
      : folder_(write_pixels("d", 300, 16)),
        dataset_(Dataset::open(folder_).value()),
        chunk_(dataset_->chunk_path(0)),
        manifest_(folder_ + "/manifest") {}

  [[nodiscard]] Object object(const std::string& path) const {
    return Object::open(dataset_->source(), std::filesystem::path(path).filename().string())
        .value();
  }

  // As a job reads it: everything it needs, verified.
  [[nodiscard]] Status load() const {
    JobConfig job;
    job.data.features = {"pixels"};
    job.data.label = "label";
    const auto loader = EvalLoader::open(job, folder_, 1, 10);
    return loader.ok() ? Status() : loader.status();
  }

  void cut(const std::string& path, uint64_t bytes) const {
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - bytes);
  }

  std::string folder_;
  std::shared_ptr<const Dataset> dataset_;
  std::string chunk_;
  std::string manifest_;
};

TEST_F(CorruptionTest, NamesTheColumnBlockAndByteOfAFlippedBit) {
  const BlockPlace block = dataset_->block(1);
  flip_bit(chunk_, block.stored.offset + 100);

  const Status status = load();

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              ContainsRegex("column \"pixels\" in block 1 of .*\\.blc at byte 8192: "
                            "xxh3 [0-9a-f]{16} expected, [0-9a-f]{16} found"));
  EXPECT_THAT(status.to_string(), HasSubstr(chunk_));
}

TEST_F(CorruptionTest, NamesTheFooterAndByteOfAFlippedBit) {
  const uint64_t footer = read_sealed(object(chunk_), kChunkMagic, "footer")->offset;
  flip_bit(chunk_, footer + 30, 5);

  const Status status = load();

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              HasSubstr("footer of " + chunk_ + " at byte " + std::to_string(footer) + ": xxh3 "));
}

TEST_F(CorruptionTest, NamesTheByteOfAHeadThatIsNotThatOfItsFooter) {
  flip_bit(chunk_, 8);
  EXPECT_EQ(load().code(), Code::kDataLoss);
  EXPECT_THAT(
      load().to_string(),
      HasSubstr(chunk_ + " at byte 8: format version 1 expected as in the footer, 0 found"));

  flip_bit(chunk_, 8);
  flip_bit(chunk_, 0);
  EXPECT_THAT(load().to_string(),
              HasSubstr(chunk_ + " at byte 0: \"BLSTchnk\" expected, \"CLSTchnk\" found"));
}

TEST_F(CorruptionTest, NamesTheManifestOfAFlippedBit) {
  flip_bit(manifest_, 20, 3);

  const Status status = load();

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("manifest of " + manifest_ + " at byte 0: xxh3 "));
}

TEST_F(CorruptionTest, SaysHowLongATruncatedChunkShouldBe) {
  const uint64_t bytes = std::filesystem::file_size(chunk_);
  cut(chunk_, 100);

  const Status status = load();

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr(chunk_ + " is cut short"),
                    HasSubstr(std::to_string(bytes) + " bytes expected by the manifest, " +
                              std::to_string(bytes - 100) + " found")));
}

TEST_F(CorruptionTest, NamesATruncatedChunkWithoutAManifestToo) {
  cut(chunk_, 100);
  EXPECT_THAT(ChunkReader::open(chunk_).status().to_string(),
              AllOf(HasSubstr(chunk_), HasSubstr("\"BLSTchnk\" expected")));
  std::filesystem::resize_file(chunk_, 17);
  EXPECT_THAT(ChunkReader::open(chunk_).status().to_string(),
              HasSubstr("is cut short: at least 4128 bytes expected, 17 found"));
}

TEST_F(CorruptionTest, NamesATruncatedManifest) {
  cut(manifest_, 1);
  EXPECT_THAT(load().to_string(), AllOf(HasSubstr(manifest_), HasSubstr("\"BLSTmani\" expected")));
  std::filesystem::resize_file(manifest_, 0);
  EXPECT_THAT(load().to_string(), HasSubstr("at least 32 bytes expected, 0 found"));
}

TEST_F(CorruptionTest, NamesAChunkThatIsGone) {
  std::filesystem::remove(chunk_);

  EXPECT_EQ(load().code(), Code::kNotFound);
  EXPECT_THAT(load().to_string(), HasSubstr("open " + chunk_));
}

TEST_F(CorruptionTest, RefusesAChunkThatIsAnotherOne) {
  const std::string other = write_pixels("other", 300, 16, /*classes=*/3);
  const std::string other_chunk = Dataset::open(other).value()->chunk_path(0);
  std::vector<std::byte> bytes = read_file(other_chunk);
  bytes.resize(read_file(chunk_).size());
  std::filesystem::copy_file(other_chunk, chunk_,
                             std::filesystem::copy_options::overwrite_existing);

  EXPECT_EQ(load().code(), Code::kDataLoss);
  EXPECT_THAT(load().to_string(), HasSubstr(chunk_));
}

TEST_F(CorruptionTest, IsFoundWhereverABitOfAFileFlips) {
  // Also in padding and in the head: verify reads all there is. Seeded, not exhaustive.
  Random random(7);
  for (const std::string& path : {chunk_, manifest_}) {
    const std::vector<std::byte> whole = read_file(path);
    for (int i = 0; i < 400; ++i) {
      const uint64_t byte = random.below(whole.size());
      const int bit = static_cast<int>(random.below(8));
      flip_bit(path, byte, bit);

      const std::vector<Status> problems = verify_dataset(folder_);

      ASSERT_FALSE(problems.empty()) << path << " byte " << byte << " bit " << bit;
      EXPECT_THAT(problems[0].to_string(), HasSubstr(folder_));
      write_file(path, whole);
    }
  }
  EXPECT_TRUE(verify_dataset(folder_).empty());
}

// Whole files whose sealed part was changed and sealed again: the hash is right, the content is
// not. Nothing may crash; whatever is accepted must be readable.
TEST_F(CorruptionTest, NeverCrashesOnAResealedFooter) {
  const Object file = object(chunk_);
  const SealedPart part = read_sealed(file, kChunkMagic, "footer").value();
  Random random(11);
  uint64_t refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::vector<std::byte> bytes = part.bytes;
    for (uint64_t flips = 1 + random.below(3); flips > 0; --flips) {
      bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1 << random.below(8));
    }
    if (random.chance(0.1)) bytes.resize(random.below(bytes.size()));
    const auto footer = decode_chunk_footer(bytes, part.offset, "footer");
    if (!footer.ok()) ++refused;
    if (!footer.ok()) continue;
    for (const BlockSpec& block : footer->blocks) {
      ASSERT_LE(block.offset + block.bytes, part.offset);
      ASSERT_EQ(block.buffers.size(), footer->columns.size());
      for (const BufferSpec& buffer : block.buffers) {
        ASSERT_LE(buffer.offset + buffer.stored_bytes, block.bytes);
      }
    }
  }
  EXPECT_GT(refused, 1000u);
}

TEST_F(CorruptionTest, NeverCrashesOnAResealedManifest) {
  const SealedPart part = read_sealed(object(manifest_), kManifestMagic, "manifest").value();
  Random random(13);
  uint64_t refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::vector<std::byte> bytes = part.bytes;
    bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1 << random.below(8));
    refused += decode_manifest(bytes, "manifest").ok() ? 0 : 1;
    if (i % 10 != 0) continue;
    write_file(manifest_, seal(bytes, 0, kManifestMagic));
    (void)load();
  }
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace ballast
