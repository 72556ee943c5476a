// MDS shards against files made by hand and what they must become (tests/data/convert), and one
// refusal for each kind of malformed input.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <zlib.h>

#include <map>

#include "common/base/hash.h"
#include "tests/worker/data/convert_formats_fixture.h"
#include "worker/data/convert/mds.h"
#include "worker/data/dataset.h"

namespace ballast {
namespace {

using testing::HasSubstr;

using ConvertMdsTest = ConvertFormatsTest;

TEST_F(ConvertMdsTest, ReadsMdsShards) {
  EXPECT_EQ(rows_of(open_mds(golden("mds"), {})), text_of(golden("mds.expected")));

  const auto dataset = Dataset::open(path("out")).value();
  EXPECT_EQ(dataset->columns()[0].to_string(), "id i32 []");
  EXPECT_EQ(dataset->columns()[2].to_string(), "pixels f32 [2, 2]");
  EXPECT_EQ(dataset->manifest().label, "label");
}

// As Python's json module writes names that are not ASCII.
TEST_F(ConvertMdsTest, ReadsMdsColumnNamesThatAreEscaped) {
  std::filesystem::copy(golden("mds"), path("m"));
  std::string index = text_of(golden("mds/index.json"));
  const std::string_view name = "\"score\"";
  for (size_t at = index.find(name); at != std::string::npos; at = index.find(name, at + 1)) {
    index.replace(at, name.size(), "\"h\\u00f6he\"");
  }
  write_text("m/index.json", index);

  const auto format = open_mds(path("m"), {});

  ASSERT_TRUE(format.ok()) << format.status().to_string();
  EXPECT_EQ((*format)->columns()[3].name, "h\xc3\xb6he");
}

TEST_F(ConvertMdsTest, NamesShardColumnOrByteOfMalformedMds) {
  const std::string good = text_of(golden("mds/index.json"));
  const std::string bytes = text_of(golden("mds/shard.00000.mds"));
  std::filesystem::copy(golden("mds"), path("m"));
  const auto refused = [&](const std::string& index) {
    write_text("m/index.json", index);
    return refusal(open_mds(path("m"), {}));
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string index = good;
    index.replace(index.find(from), from.size(), to);
    return refused(index);
  };
  ASSERT_EQ(refused(good), "ok");
  EXPECT_THAT(
      refused(good.substr(0, good.size() - 1)),
      HasSubstr("m/index.json: JSON expected, at character " + std::to_string(good.size() - 1)));
  EXPECT_THAT(refused(std::string(100, '[')), HasSubstr("no more than 64 levels"));
  EXPECT_THAT(refused(""),
              HasSubstr("JSON expected, at character 0: expected a value, found the end"));
  EXPECT_THAT(refused("{}"), HasSubstr("a list of shards expected"));
  EXPECT_THAT(with("\"mds\"", "\"csv\""), HasSubstr("format mds, version 2 expected"));
  for (const char* encoding :
       {"pkl", "jpeg", "uint64", "json", "str_decimal", "list[png]", "ndarray", "ndarray:uint64",
        "ndarray:float32:", "ndarray:float32:2,0", "ndarray:float32:2,", "ndarray:float32:2,x",
        "ndarray:pkl:2", "ndarray:int:2"}) {
    EXPECT_THAT(with("ndarray:float32:2,2", encoding),
                HasSubstr("index.json: column \"pixels\": int, int8 to int64"));
  }
  const auto advised = [&](const char* encoding) { return with("ndarray:float32:2,2", encoding); };
  EXPECT_THAT(advised("jpeg"), HasSubstr("jpeg found; nothing here decodes pictures; write them "
                                         "decoded, as ndarray:uint8:HEIGHT,WIDTH,CHANNELS"));
  EXPECT_THAT(advised("uint64"), HasSubstr("uint64 found; write it as int64"));
  EXPECT_THAT(advised("ndarray"), HasSubstr("write it as ndarray:TYPE or ndarray:TYPE:SHAPE"));
  EXPECT_THAT(advised("json"), HasSubstr("write its numbers as columns of their own"));
  EXPECT_THAT(advised("str_decimal"), HasSubstr("write it as float64 or str"));
  EXPECT_THAT(with("ndarray:float32:2,2", "pkl"), HasSubstr("a pickle is a program"));
  EXPECT_THAT(with("\"uint16\"", "\"int16\""), HasSubstr("shard 1: the columns of the first"));
  EXPECT_THAT(with("\"shard.00000.mds\"", "\"../m/shard.00000.mds\""),
              HasSubstr("a file beside index.json expected"));
  EXPECT_THAT(with("\"shard.00000.mds\"", "\"none.mds\""), HasSubstr("open " + path("m/none.mds")));
  EXPECT_THAT(with("\"samples\": 2", "\"samples\": 3"),
              HasSubstr("shard.00000.mds at byte 0: 3 samples expected by index.json, 2 found"));
  write_text("m/shard.00000.mds", bytes.substr(0, bytes.size() - 1));
  EXPECT_THAT(refused(good), HasSubstr(fmt::format("{} bytes expected by index.json, {} found",
                                                   bytes.size(), bytes.size() - 1)));
  std::string wrong = bytes;
  wrong[4] = static_cast<char>(wrong[4] + 1);
  write_text("m/shard.00000.mds", wrong);
  EXPECT_THAT(refused(good),
              HasSubstr("shard.00000.mds at byte 263: sample 0: 34 bytes expected by "
                        "its columns, 33 found"));
  wrong[7] = '\x7f';
  write_text("m/shard.00000.mds", wrong);
  EXPECT_THAT(refused(good), HasSubstr("shard.00000.mds at byte 4: sample 0: bytes inside of the "
                                       "shard's 330 expected"));
  wrong = bytes;
  wrong.replace(bytes.size() - 8, 8, std::string("\0\0\0\0\0\0\xf8\x7f", 8));
  write_text("m/shard.00000.mds", wrong);
  EXPECT_THAT(refused(good), HasSubstr(fmt::format("at byte {}: column \"score\": a finite number",
                                                   bytes.size() - 8)));
}

TEST_F(ConvertMdsTest, ReadsEveryKindOfMdsColumnFromPackedShards) {
  EXPECT_EQ(rows_of(open_mds(golden("mds_kinds"), {})), text_of(golden("mds_kinds.expected")));

  const auto dataset = Dataset::open(path("out")).value();
  std::map<std::string, std::string> columns;
  for (const ColumnSpec& column : dataset->columns()) columns[column.name] = column.to_string();
  EXPECT_EQ(columns["text"], "text u8 [], lists");
  EXPECT_EQ(columns["tokens"], "tokens i32 [], lists");
  EXPECT_EQ(columns["weights"], "weights f16 [], lists");
  EXPECT_EQ(columns["typed"], "typed i64 []");
  EXPECT_EQ(columns["written"], "written f32 []");
}

TEST_F(ConvertMdsTest, ReadsAPackedMdsShardWhereItIsUnpackedToo) {
  std::filesystem::copy(golden("mds"), path("m"));
  std::string index = text_of(golden("mds/index.json"));
  for (int i = 0; i < 2; ++i) {
    index.replace(index.find("\"zip_data\": null"), 16,
                  "\"zip_data\": {\"basename\": \"gone\", \"bytes\": 1}");
  }
  write_text("m/index.json", index);

  EXPECT_EQ(rows_of(open_mds(path("m"), {})), text_of(golden("mds.expected")));
}

TEST_F(ConvertMdsTest, ReadsMdsShardsPackedWithGzip) {
  std::filesystem::copy(golden("mds"), path("m"));
  std::string index = text_of(golden("mds/index.json"));
  for (const std::string name : {"shard.00000.mds", "shard.00001.mds"}) {
    const std::string packed = write_gzip("m/" + name + ".gz", text_of(golden("mds/" + name)));
    std::filesystem::remove(path("m/" + name));
    index.replace(index.find("\"compression\": null"), 19, "\"compression\": \"gz:5\"");
    index.replace(index.find("\"zip_data\": null"), 16,
                  fmt::format("\"zip_data\": {{\"basename\": \"{}.gz\", \"bytes\": {}}}", name,
                              std::filesystem::file_size(packed)));
  }
  write_text("m/index.json", index);

  EXPECT_EQ(rows_of(open_mds(path("m"), {})), text_of(golden("mds.expected")));

  index.replace(index.find("\"bytes\": 330"), 12, "\"bytes\": 329");
  write_text("m/index.json", index);
  EXPECT_THAT(refusal(open_mds(path("m"), {})), HasSubstr("at byte 329: the end expected"));
}

TEST_F(ConvertMdsTest, ChecksTheHashOfAnMdsShardWhereTheIndexHasOne) {
  std::filesystem::copy(golden("mds_kinds"), path("m"));
  const std::string good = text_of(golden("mds_kinds/index.json"));
  const auto with_hash = [&](const std::string& hash) {
    std::string index = good;
    const size_t packed = index.find("\"zip_data\"");
    index.replace(index.find("\"hashes\": {}", packed), 12,
                  "\"hashes\": {\"sha1\": \"x\", \"xxh3_64\": \"" + hash + "\"}");
    write_text("m/index.json", index);
    return refusal(open_mds(path("m"), {}));
  };
  const std::string right = hex64(xxh3(text_of(golden("mds_kinds/shard.00000.mds.zstd"))));

  EXPECT_EQ(with_hash(right), "ok");
  EXPECT_THAT(with_hash("0123456789abcdef"),
              HasSubstr("shard.00000.mds.zstd: xxh3_64 0123456789abcdef expected by index.json, " +
                        right + " found"));
}

TEST_F(ConvertMdsTest, NamesWhatIsWrongWithPackedMdsShards) {
  std::filesystem::copy(golden("mds_kinds"), path("m"));
  const std::string good = text_of(golden("mds_kinds/index.json"));
  const std::string shard = text_of(golden("mds_kinds/shard.00000.mds.zstd"));
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string index = good;
    index.replace(index.find(from), from.size(), to);
    write_text("m/index.json", index);
    return refusal(open_mds(path("m"), {}));
  };
  ASSERT_EQ(refused("mds", "mds"), "ok");
  EXPECT_THAT(refused("\"zstd\"", "\"br:11\""),
              HasSubstr("shard.00000.mds.zstd is compressed as \"br:11\", zstd or gz expected; "
                        "unpack the shards first, or write them with compression=\"zstd\""));
  EXPECT_THAT(refused("\"basename\": \"shard.00000.mds.zstd\"", "\"basename\": \"a/b\""),
              HasSubstr("a file beside index.json expected, \"a/b\" found"));
  EXPECT_THAT(refused("\"basename\": \"shard.00000.mds.zstd\"", "\"name\": \"b\""),
              HasSubstr("zip_data with basename and bytes expected"));
  const std::string raw = good.substr(good.find("\"bytes\": "), 12);  // of raw_data
  EXPECT_THAT(refused(raw, "\"bytes\": 5000000000"), HasSubstr("less than 4 GiB expected"));
  EXPECT_THAT(refused(raw, "\"bytes\": 4000000000"),
              HasSubstr("bytes cannot hold the 4000000000 bytes of raw_data"));
  EXPECT_THAT(refused(raw, "\"bytes\": 999"),
              HasSubstr("while unpacking " + path("m/shard.00000.mds.zstd")));
  write_text("m/shard.00000.mds.zstd", shard.substr(1));
  EXPECT_THAT(refused("mds", "mds"), HasSubstr(fmt::format("{} bytes expected by index.json, {} "
                                                           "found",
                                                           shard.size(), shard.size() - 1)));
  std::string damaged = shard;
  damaged[0] = 'x';
  write_text("m/shard.00000.mds.zstd", damaged);
  EXPECT_THAT(refused("mds", "mds"), HasSubstr("of zstd expected to hold"));
}

TEST_F(ConvertMdsTest, NamesTheByteOfMalformedMdsListsAndText) {
  // One shard of one sample of one column.
  const auto refused = [&](const std::string& encoding, const std::string& value,
                           uint32_t value_bytes) {
    const auto word = [](uint64_t number) {
      return std::string(reinterpret_cast<const char*>(&number), 4);
    };
    const std::string sample = word(value_bytes) + value;
    const std::string shard = word(1) + word(12) + word(12 + sample.size()) + sample;
    std::filesystem::create_directories(path("l"));
    write_text("l/s", shard);
    write_text("l/index.json",
               fmt::format(R"({{"shards": [{{"column_encodings": ["{}"], "column_names": ["x"],
                   "format": "mds", "raw_data": {{"basename": "s", "bytes": {}}}, "samples": 1,
                   "version": 2, "zip_data": null}}]}})",
                           encoding, shard.size()));
    return refusal(open_mds(path("l"), {}));
  };
  const std::string array("\x04\x02\x01\x00\x02\x00", 6);  // two int16 in one dimension
  ASSERT_EQ(refused("ndarray:int16", array, 6), "ok");
  ASSERT_EQ(refused("str_int", "-12", 3), "ok");
  EXPECT_THAT(refused("str", "abc", 4),
              HasSubstr("l/s at byte 12: sample 0: 8 bytes expected by its columns, 7 found"));
  EXPECT_THAT(
      refused("ndarray:int16",
              "\x08\x01\x01"
              "ab",
              5),
      HasSubstr("l/s at byte 16: column \"x\": an array of 1 dimension expected, 2 found: a "
                "list holds one; where all have one shape, write them as "
                "ndarray:int16:SHAPE"));
  EXPECT_THAT(refused("ndarray:int16", array.substr(0, 5), 5),
              HasSubstr("an array of 2 values of 2 bytes expected, 5 bytes found"));
  EXPECT_THAT(refused("ndarray:int16", "\x05\x02", 2), HasSubstr("an array of 0 values of 2"));
  EXPECT_THAT(refused("ndarray:int16", "", 0), HasSubstr("the dimensions of an array expected"));
  EXPECT_THAT(refused("ndarray:float32", std::string("\x04\x01\x00\x00\xc0\x7f", 6), 6),
              HasSubstr("l/s at byte 18: column \"x\": a finite number expected, nan found"));
  EXPECT_THAT(refused("str_int", "12a", 3),
              HasSubstr("l/s at byte 16: column \"x\": i64 (a whole number) expected, \"12a\""));
  EXPECT_THAT(refused("str_float", "inf", 3), HasSubstr("f32 (a finite number) expected, \"inf\""));
}

}  // namespace
}  // namespace ballast
