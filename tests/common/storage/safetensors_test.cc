#include "common/storage/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/storage/safetensors_header.h"
#include "tests/common/storage/temporary_folder.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::vector<float> kWeight = {1, 2, 3, 4, 5, 6};
const std::vector<float> kBias = {-1, 0.5f};

std::vector<Tensor> two_tensors() {
  return {{"layer0.weight", {3, 2}, kWeight}, {"layer0.bias", {2}, kBias}};
}

class SafetensorsTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return folder_.path() + "/model.safetensors"; }

  // A file with this header over `data_bytes` zeros.
  void write_raw(const std::string& header, size_t data_bytes) const {
    std::ofstream file(path(), std::ios::binary);
    const uint64_t length = header.size();
    file.write(reinterpret_cast<const char*>(&length), sizeof(length));
    file << header << std::string(data_bytes, '\0');
  }
  [[nodiscard]] Status read_raw(const std::string& header, size_t data_bytes) const {
    write_raw(header, data_bytes);
    return read_safetensors(path()).status();
  }

  TemporaryFolder folder_;
};

TEST_F(SafetensorsTest, ComesBackWithNamesShapesValuesAndMetadata) {
  const TensorMetadata metadata = {{"job", "digits \"x\" \\ \n\x01 \xc3\xa4"}, {"steps", "12"}};
  ASSERT_TRUE(write_safetensors(path(), two_tensors(), metadata).ok());

  const auto file = read_safetensors(path());

  ASSERT_TRUE(file.ok()) << file.status().to_string();
  ASSERT_THAT(file->tensors, SizeIs(2));
  EXPECT_EQ(file->tensors[0].name, "layer0.weight");
  EXPECT_THAT(file->tensors[0].shape, ElementsAre(3, 2));
  EXPECT_THAT(file->tensors[0].values, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(file->tensors[1].values, ElementsAre(-1, 0.5f));
  EXPECT_EQ(file->metadata, metadata);
}

// The layout of the format's own description, byte for byte.
TEST_F(SafetensorsTest, WritesTheFormatsBytes) {
  ASSERT_TRUE(write_safetensors(path(), two_tensors(), {}).ok());
  std::ifstream file(path(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});

  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const std::string header = bytes.substr(8, length);

  EXPECT_EQ(header.substr(0, header.find_last_not_of(' ') + 1),
            R"({"layer0.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},)"
            R"("layer0.bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]}})");
  EXPECT_EQ((8 + length) % 64, 0u);
  EXPECT_EQ(bytes.size(), 8 + length + 32);
  EXPECT_EQ(std::memcmp(bytes.data() + 8 + length, kWeight.data(), 24), 0);
}

TEST_F(SafetensorsTest, ReadsHeadersOfOtherWriters) {
  write_raw(
      " {\"b\" : { \"data_offsets\":[4, 8], \"shape\": [], \"dtype\":\"F32\"},\n"
      "\"\\u00e4\\ud83d\\ude00\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} ",
      8);

  const auto file = read_safetensors(path());

  ASSERT_TRUE(file.ok()) << file.status().to_string();
  ASSERT_THAT(file->tensors, SizeIs(2));
  EXPECT_EQ(file->tensors[0].name, "\xc3\xa4\xf0\x9f\x98\x80");
  EXPECT_EQ(file->tensors[1].name, "b");
  EXPECT_THAT(file->tensors[1].values, SizeIs(1));
}

TEST_F(SafetensorsTest, RefusesToWriteWhatContradictsItself) {
  EXPECT_EQ(write_safetensors(path(), {{"w", {3}, kBias}}, {}).code(), Code::kInvalidInput);
  EXPECT_EQ(write_safetensors(path(), {{"", {2}, kBias}}, {}).code(), Code::kInvalidInput);
  EXPECT_EQ(write_safetensors(path(), {{"w", {2}, kBias}, {"w", {2}, kBias}}, {}).code(),
            Code::kInvalidInput);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SafetensorsTest, RefusesToReadWhatContradictsItself) {
  const std::string good = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_TRUE(read_raw(good, 8).ok());

  EXPECT_THAT(read_raw(good, 7).to_string(), AllOf(HasSubstr(path()), HasSubstr("of 7 bytes")));
  EXPECT_THAT(read_raw(good, 12).to_string(), HasSubstr("tensors end at 8 of 12"));
  EXPECT_THAT(read_raw(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8).to_string(),
              HasSubstr("shape [3], found 8 bytes"));
  EXPECT_THAT(read_raw(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8).to_string(),
              HasSubstr("begin at 0"));
  EXPECT_THAT(read_raw(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8).to_string(),
              HasSubstr("data_offsets [8, 0]"));
  EXPECT_THAT(read_raw(R"({"w":{"dtype":"F32","shape":[4611686018427387904,4],)"
                       R"("data_offsets":[0,0]}})",
                       0)
                  .to_string(),
              HasSubstr("found 0 bytes"));
  const Status dtype = read_raw(R"({"w":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}})", 8);
  EXPECT_EQ(dtype.code(), Code::kInvalidInput);
  EXPECT_THAT(dtype.to_string(), HasSubstr("expected F32"));
}

TEST_F(SafetensorsTest, SaysWhereTheHeaderIsNotJson) {
  for (const char* header :
       {"", "{", "[]", "{\"w\":1}", "{\"w\":{\"dtype\":\"F32\"}}", "{} x",
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}",
        "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "{\"\\ud800x\":{}}", "{\"\\q\":{}}"}) {
    const Status status = read_raw(header, 4);
    EXPECT_EQ(status.code(), Code::kDataLoss) << header;
    EXPECT_THAT(status.to_string(), HasSubstr("expected")) << header;
  }
}

TEST_F(SafetensorsTest, NamesTheCharacterWhatBelongsThereAndWhatStands) {
  const auto refused = [](const std::string& header) {
    const Status status = parse_safetensors_header(header).status();
    EXPECT_EQ(status.code(), Code::kDataLoss) << header;
    return status.to_string();
  };

  EXPECT_EQ(refused(""), "header at character 0: expected a value, found the end");
  EXPECT_EQ(refused("[]"), R"(header at character 0: expected '{', found "[]")");
  EXPECT_EQ(refused("{} x"), R"(header at character 3: expected the end of the text, found "x")");
  EXPECT_EQ(refused(R"({"w":1})"), R"(header at character 5: expected '{', found "1}")");
  EXPECT_EQ(refused(R"({"__metadata__":{"a":1}})"),
            R"(header at character 21: expected '"', found "1}}")");
  EXPECT_EQ(refused(R"({"__metadata__":{"a":"1","a":"2"}})"),
            R"(header at character 25: expected key "a" only once, found "\"a\":\"2\"}}")");
  EXPECT_EQ(refused(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})"),
            R"(header at character 29: expected a whole number below 2^64, )"
            R"(found "-1],\"data_of")");
  EXPECT_EQ(refused(R"({"w":{"dtype":"F32"}})"),
            R"(header at character 5: expected a dtype and two data_offsets of "w", )"
            R"(found "{\"dtype\":\"F3")");
  EXPECT_EQ(refused(R"({"w":{"kind":"F32"}})"),
            R"(header at character 5: expected dtype, shape and data_offsets only, not "kind", )"
            R"(found "{\"kind\":\"F32")");
}

TEST_F(SafetensorsTest, RefusesAHeaderLongerThanTheFile) {
  ASSERT_TRUE(write_safetensors(path(), two_tensors(), {}).ok());
  flip_bit(path(), 6, 5);

  const auto file = read_safetensors(path());

  EXPECT_EQ(file.status().code(), Code::kDataLoss);
  EXPECT_THAT(file.status().to_string(), HasSubstr("at byte 0"));
}

TEST(SafetensorsFuzz, DamagedHeadersNeverCrash) {
  SafetensorsHeader header;
  header.entries = {{"a\"\\b", "F32", {3, 2}, 0, 24}, {"c", "F32", {}, 24, 28}};
  header.metadata = {{"k\n", "v"}};
  const std::string text = format_safetensors_header(header);
  Random random(22);

  for (int round = 0; round < 20000; ++round) {
    std::string damaged = text;
    for (uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    }
    if (random.chance(0.2)) damaged.resize(random.below(damaged.size()));
    (void)parse_safetensors_header(damaged);
  }
}

TEST(WeightsXxh3, HashesNameShapeAndValuesInNameOrder) {
  std::vector<Tensor> reversed = two_tensors();
  std::swap(reversed[0], reversed[1]);
  Hasher by_hand;
  by_hand.add(std::string_view("layer0.bias"));
  by_hand.add(uint64_t{2});
  by_hand.add(std::as_bytes(std::span(kBias)));
  by_hand.add(std::string_view("layer0.weight"));
  by_hand.add(uint64_t{3});
  by_hand.add(uint64_t{2});
  by_hand.add(std::as_bytes(std::span(kWeight)));

  EXPECT_EQ(weights_xxh3(two_tensors()), by_hand.digest());
  EXPECT_EQ(weights_xxh3(reversed), by_hand.digest());
}

TEST(WeightsXxh3, TellsOneBitAndOneShapeApart) {
  const uint64_t before = weights_xxh3(two_tensors());
  std::vector<float> changed = kWeight;
  changed[3] = std::nextafter(changed[3], 9.0f);

  EXPECT_NE(weights_xxh3({{"layer0.weight", {3, 2}, changed}, {"layer0.bias", {2}, kBias}}),
            before);
  EXPECT_NE(weights_xxh3({{"layer0.weight", {2, 3}, kWeight}, {"layer0.bias", {2}, kBias}}),
            before);
}

}  // namespace
}  // namespace ballast
