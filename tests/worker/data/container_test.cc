// The bytes of the container, against worker/data/README.md and against files kept in tests/data.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "common/base/half.h"
#include "common/base/hash.h"
#include "schemas/chunk_generated.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/dataset.h"
#include "worker/data/sealed.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class ContainerTest : public DataFixture {
 protected:
  // Every type, two blocks: the data set that tests/data/golden keeps.
  std::string write_golden() {
    DatasetWriterOptions options;
    options.block_bytes = 3 * 25;  // three rows
    options.label = "label";
    auto writer = DatasetWriter::create(path("golden"),
                                        {{"pixels", ColumnType::kU8, {2, 2}},
                                         {"score", ColumnType::kF32, {}},
                                         {"half", ColumnType::kF16, {2}},
                                         {"when", ColumnType::kI64, {}},
                                         {"label", ColumnType::kI32, {}}},
                                        options);
    EXPECT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> row(writer->row_bytes());
    for (int i = 0; i < 5; ++i) {
      std::byte* at = row.data();
      for (int k = 0; k < 4; ++k) at = put(at, static_cast<uint8_t>(10 * i + k));
      at = put(at, static_cast<float>(i) / 2);
      at = put(at, float_to_half(static_cast<float>(i)));
      at = put(at, float_to_half(-0.5f));
      at = put(at, int64_t{1} << (40 + i));
      put(at, int32_t{i % 2});
      EXPECT_TRUE(writer->add_row(row).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return path("golden");
  }

  template <typename Number>
  static Number number_at(const std::vector<std::byte>& bytes, uint64_t offset) {
    Number number;
    EXPECT_LE(offset + sizeof number, bytes.size());
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
  }
  static std::string text_at(const std::vector<std::byte>& bytes, uint64_t offset, size_t length) {
    return {reinterpret_cast<const char*>(bytes.data() + offset), length};
  }
};

TEST_F(ContainerTest, IsByteForByteTheGoldenFiles) {
  const std::string written = write_golden();

  size_t files = 0;
  for (const auto& kept : std::filesystem::directory_iterator(BALLAST_TEST_DATA "/golden")) {
    const std::string name = kept.path().filename();
    EXPECT_EQ(read_file(written + "/" + name), read_file(kept.path())) << name;
    ++files;
  }
  EXPECT_EQ(files, 2u);
}

TEST_F(ContainerTest, FramesAChunkAsItsDescriptionSays) {
  const auto dataset = Dataset::open(write_golden()).value();
  const std::vector<std::byte> file = read_file(dataset->chunk_path(0));

  EXPECT_EQ(text_at(file, 0, 8), "BLSTchnk");
  EXPECT_EQ(number_at<uint16_t>(file, 8), 1);   // major
  EXPECT_EQ(number_at<uint16_t>(file, 10), 0);  // minor
  for (uint64_t i = 12; i < 4096; ++i) ASSERT_EQ(file[i], std::byte{0});

  const uint64_t trailer = file.size() - 32;
  const auto footer = number_at<uint64_t>(file, trailer);
  EXPECT_EQ(footer, 3 * 4096u);  // behind the head and two blocks
  EXPECT_EQ(footer + number_at<uint64_t>(file, trailer + 8), trailer);
  const auto hash = number_at<uint64_t>(file, trailer + 16);
  EXPECT_EQ(hash, xxh3(std::span(file).subspan(footer, trailer - footer)));
  EXPECT_EQ(text_at(file, trailer + 24, 8), "BLSTchnk");
  EXPECT_EQ(dataset->chunk_path(0), dataset->folder() + "/" + hex64(hash) + ".blc");

  // Block 0: pixels at 0, score at 64, half at 128, when at 192, label at 256.
  EXPECT_EQ(number_at<uint8_t>(file, 4096 + 11), 23);
  EXPECT_EQ(number_at<float>(file, 4096 + 64 + 8), 1.0f);
  EXPECT_EQ(number_at<uint16_t>(file, 4096 + 128 + 2), 0xb800);
  EXPECT_EQ(number_at<int64_t>(file, 4096 + 192 + 8), int64_t{1} << 41);
  EXPECT_EQ(number_at<int32_t>(file, 4096 + 256 + 4), 1);
  // Block 1 is short: rows 3 and 4.
  EXPECT_EQ(number_at<uint8_t>(file, 8192 + 4), 40);
}

TEST_F(ContainerTest, VerifiesOneBlockAloneFromTheManifest) {
  const auto dataset = Dataset::open(write_golden()).value();
  const std::vector<std::byte> file = read_file(dataset->chunk_path(0));

  for (uint64_t b = 0; b < 2; ++b) {
    const ManifestBlock& stored = dataset->block(b).stored;
    EXPECT_EQ(stored.offset % 4096, 0u);
    EXPECT_EQ(xxh3(std::span(file).subspan(stored.offset, stored.bytes)), stored.xxh3);
  }
}

TEST_F(ContainerTest, NeedsAtMost48ManifestBytesABlock) {
  const auto few = read_file(write_pixels("few", 50, 16) + "/manifest").size();
  const auto many = read_file(write_pixels("many", 50 * 101, 16) + "/manifest").size();

  EXPECT_LE(static_cast<double>(many - few) / 100, 48.0);
}

TEST_F(ContainerTest, CountsLabelsInEachBlock) {
  const auto dataset = Dataset::open(write_golden()).value();
  const ChunkReader chunk = ChunkReader::open(*dataset, 0).value();

  EXPECT_EQ(chunk.footer().blocks[0].labels, (std::vector<LabelCount>{{0, 2}, {1, 1}}));
  EXPECT_EQ(chunk.footer().blocks[1].labels, (std::vector<LabelCount>{{0, 1}, {1, 1}}));
}

// A manifest as some later writer would make it: a field we do not know, and version numbers.
std::vector<std::byte> manifest_from_the_future(uint16_t major, uint16_t minor) {
  flatbuffers::FlatBufferBuilder builder;
  const auto column = fb::CreateColumn(builder, builder.CreateString("x"), fb::ColumnType::F32);
  const auto columns = builder.CreateVector(&column, 1);
  const auto chunks = builder.CreateVectorOfStructs<fb::ManifestChunk>({});
  const auto blocks = builder.CreateVectorOfStructs<fb::ManifestBlock>({});
  fb::ManifestBuilder manifest(builder);
  manifest.add_major(major);
  manifest.add_minor(minor);
  manifest.add_columns(columns);
  manifest.add_chunks(chunks);
  manifest.add_blocks(blocks);
  constexpr flatbuffers::voffset_t kUnknownField = 4 + 2 * 20;
  builder.AddElement<uint64_t>(kUnknownField, 12345, 0);
  builder.Finish(manifest.Finish());
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

TEST_F(ContainerTest, IgnoresUnknownFieldsOfALaterMinorVersion) {
  const auto manifest = decode_manifest(manifest_from_the_future(1, 7), "manifest m at byte 0");

  ASSERT_TRUE(manifest.ok()) << manifest.status().to_string();
  EXPECT_EQ(manifest->minor, 7);
  EXPECT_EQ(manifest->columns[0].name, "x");
}

TEST_F(ContainerTest, RefusesAnotherMajorVersion) {
  const auto manifest = decode_manifest(manifest_from_the_future(2, 0), "manifest m at byte 0");

  ASSERT_EQ(manifest.status().code(), Code::kInvalidInput);
  EXPECT_THAT(manifest.status().to_string(),
              HasSubstr("manifest m at byte 0: format version 1 expected, 2 found"));
}

TEST_F(ContainerTest, KeepsTheOldDataSetWhenAWriterNeverCommits) {
  const std::string folder = write_golden();
  const std::vector<std::byte> before = read_file(folder + "/manifest");
  {
    DatasetWriterOptions options;
    options.overwrite = true;
    options.block_bytes = 4;
    auto writer = DatasetWriter::create(folder, {{"x", ColumnType::kF32, {}}}, options).value();
    const std::vector<std::byte> row(writer.row_bytes());
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(writer.add_row(row).ok());
  }

  EXPECT_EQ(read_file(folder + "/manifest"), before);
  EXPECT_TRUE(ChunkReader::open(*Dataset::open(folder).value(), 0).ok());
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_FALSE(entry.path().filename().string().starts_with('.')) << entry.path();
  }
}

TEST_F(ContainerTest, ReplacesADataSetOnlyWhenAskedAndRemovesItsChunks) {
  const std::string folder = write_golden();
  const std::string old_chunk = Dataset::open(folder).value()->chunk_path(0);
  const std::vector<ColumnSpec> columns = {{"x", ColumnType::kF32, {}}};

  EXPECT_THAT(DatasetWriter::create(folder, columns, {}).status().to_string(),
              HasSubstr("already holds a data set"));
  DatasetWriterOptions options;
  options.overwrite = true;
  auto writer = DatasetWriter::create(folder, columns, options).value();
  ASSERT_TRUE(writer.add_row(std::vector<std::byte>(4)).ok());
  ASSERT_TRUE(writer.commit().ok());

  EXPECT_EQ(Dataset::open(folder).value()->rows(), 1u);
  EXPECT_FALSE(std::filesystem::exists(old_chunk));
}

TEST_F(ContainerTest, RemovesItsChunksWhenItNeverCommits) {
  {
    DatasetWriterOptions options;
    options.block_bytes = 4096;
    options.chunk_bytes = 8192;
    auto writer =
        DatasetWriter::create(path("d"), {{"x", ColumnType::kF32, {512}}}, options).value();
    const std::vector<std::byte> row(writer.row_bytes());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(writer.add_row(row).ok());
    EXPECT_FALSE(std::filesystem::is_empty(path("d")));
  }

  EXPECT_FALSE(std::filesystem::exists(path("d")));
}

TEST_F(ContainerTest, SaysWhereTheDiskWasFullAndLeavesNothing) {
  // A limit on file size stands in for a full disk: the same code and way out.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 8192, .rlim_max = before.rlim_max};
  Status status;
  {
    DatasetWriterOptions options;
    options.block_bytes = 8192;
    auto writer =
        DatasetWriter::create(path("d"), {{"x", ColumnType::kF32, {1024}}}, options).value();
    const std::vector<std::byte> row(writer.row_bytes());
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 10 && status.ok(); ++i) status = writer.add_row(row);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  }
  std::signal(SIGXFSZ, handler);

  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_THAT(status.to_string(), HasSubstr("write a file in " + path("d") + " at byte 4096: "));
  EXPECT_FALSE(std::filesystem::exists(path("d")));
}

TEST_F(ContainerTest, SaysWhenItMayNotWrite) {
  const std::string file = write_text("file", "x");

  const auto writer = DatasetWriter::create(file + "/d", {{"x", ColumnType::kF32, {}}}, {});

  EXPECT_EQ(exit_code(writer.status()), 2);
  EXPECT_THAT(writer.status().to_string(), HasSubstr("make folder " + file + "/d"));
}

}  // namespace
}  // namespace ballast
