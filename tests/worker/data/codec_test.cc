// Codecs: of bytes, and of the columns of a data set.
#include "worker/data/codec/codec.h"

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "tests/worker/data/kinds_fixture.h"
#include "worker/data/examine.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr Codec kCodecs[] = {Codec::kLz4, Codec::kZstd};

std::vector<std::byte> compressible(size_t bytes) {
  std::vector<std::byte> raw(bytes);
  for (size_t i = 0; i < bytes; ++i) raw[i] = static_cast<std::byte>(i / 100);
  return raw;
}

class CodecTest : public KindsFixture {};

TEST_F(CodecTest, GivesBackWhatItTook) {
  for (const Codec codec : kCodecs) {
    for (const size_t bytes : {50u, 4096u, 1000000u}) {
      const std::vector<std::byte> raw = compressible(bytes);
      const std::vector<std::byte> stored = compress(codec, raw);
      ASSERT_FALSE(stored.empty());
      EXPECT_LT(stored.size(), raw.size());

      std::vector<std::byte> decoded(bytes);
      ASSERT_TRUE(decompress(codec, stored, decoded).ok());
      EXPECT_EQ(decoded, raw);
    }
  }
}

TEST_F(CodecTest, LeavesBytesThatWouldNotGetSmaller) {
  Random random(3);
  std::vector<std::byte> noise(5000);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(random.below(256));

  for (const Codec codec : kCodecs) {
    EXPECT_TRUE(compress(codec, noise).empty());
    EXPECT_TRUE(compress(codec, {}).empty());
  }
  EXPECT_TRUE(compress(Codec::kNone, compressible(100)).empty());
}

TEST_F(CodecTest, RefusesBytesThatAreDamagedOrOfAnotherLength) {
  for (const Codec codec : kCodecs) {
    const std::vector<std::byte> raw = compressible(1000);
    std::vector<std::byte> stored = compress(codec, raw);
    for (const size_t bytes : {999u, 1001u, 0u}) {
      std::vector<std::byte> decoded(bytes);
      const Status outcome = decompress(codec, stored, decoded);
      EXPECT_EQ(outcome.code(), Code::kDataLoss) << codec_name(codec) << bytes;
      EXPECT_THAT(outcome.to_string(), HasSubstr(std::string(codec_name(codec)) +
                                                 " expected to hold " + std::to_string(bytes)));
    }
    stored.resize(stored.size() / 2);
    std::vector<std::byte> decoded(1000);
    EXPECT_EQ(decompress(codec, stored, decoded).code(), Code::kDataLoss);
  }
}

TEST_F(CodecTest, NeverCrashesOnFlippedBytes) {
  Random random(5);
  for (const Codec codec : kCodecs) {
    const std::vector<std::byte> whole = compress(codec, compressible(3000));
    std::vector<std::byte> decoded(3000);
    for (int i = 0; i < 3000; ++i) {
      std::vector<std::byte> stored = whole;
      stored[random.below(stored.size())] ^= static_cast<std::byte>(1 << random.below(8));
      (void)decompress(codec, stored, decoded);
    }
  }
}

TEST_F(CodecTest, KnowsItsNames) {
  EXPECT_EQ(parse_codec("lz4").value(), Codec::kLz4);
  EXPECT_THAT(parse_codec("gzip").status().to_string(),
              HasSubstr("codec none, lz4 or zstd expected, \"gzip\" found"));
  EXPECT_EQ(parse_column_codec("a=b=zstd")->column, "a=b");
  EXPECT_EQ(parse_column_codec("none")->column, "");
  EXPECT_THAT(parse_column_codec("=lz4").status().to_string(),
              HasSubstr("the name of a column expected before"));
}

TEST_F(CodecTest, StoresADataSetAsTheDescriptionSays) {
  for (const Codec codec : {Codec::kNone, Codec::kLz4, Codec::kZstd}) {
    const std::string name(codec_name(codec));
    expect_kinds(write_kinds(name, 300, codec), 300);
    EXPECT_TRUE(verify_dataset(path(name)).empty());
  }
}

TEST_F(CodecTest, TakesACodecForOneColumnAndLeavesTheOthers) {
  DatasetWriterOptions options = kinds_options(Codec::kZstd);
  options.codecs.push_back({"pixels", Codec::kLz4});
  options.codecs.push_back({"when", Codec::kNone});
  ASSERT_TRUE(try_kinds("d", 0, 300, options).ok());

  const auto storage = measure_storage(*Dataset::open(path("d")).value()).value();

  EXPECT_EQ(storage[0].codecs, std::set<Codec>{Codec::kLz4});
  EXPECT_LT(storage[0].stored_bytes, storage[0].raw_bytes);
  EXPECT_EQ(storage[5].codecs, std::set<Codec>{Codec::kNone});
  EXPECT_EQ(storage[5].stored_bytes, 300u * 8);
  EXPECT_TRUE(storage[7].codecs.contains(Codec::kZstd));
}

TEST_F(CodecTest, RefusesACodecForAColumnThatIsNotThere) {
  DatasetWriterOptions options = kinds_options(Codec::kNone);
  options.codecs = {{"pixel", Codec::kLz4}};

  const Status status = try_kinds("d", 0, 1, options);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), AllOf(HasSubstr("codec lz4 of column \"pixel\": no such column"),
                                        HasSubstr("pixels")));
  EXPECT_FALSE(std::filesystem::exists(path("d")));
}

// Made by an earlier build with its codec libraries. They are read, not written again: another
// version of a library may find other bytes for the same values.
TEST_F(CodecTest, ReadsTheGoldenFilesOfEachCodec) {
  for (const Codec codec : kCodecs) {
    const std::string folder = BALLAST_TEST_DATA "/golden_" + std::string(codec_name(codec));
    expect_kinds(folder, 100);
    EXPECT_TRUE(verify_dataset(folder).empty());
    ContainerReader reader(folder);
    (void)reader.read();
    EXPECT_GT(reader.codecs[static_cast<uint8_t>(codec)], 5);
    EXPECT_EQ(reader.minor, 1);
  }
}

}  // namespace
}  // namespace ballast
