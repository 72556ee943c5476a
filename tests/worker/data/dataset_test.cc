#include "worker/data/dataset.h"

#include <gmock/gmock.h>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/chunk_reader.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class DatasetTest : public DataFixture {};

TEST_F(DatasetTest, ReadsBackEveryValueOfEveryBlock) {
  const auto dataset = Dataset::open(write_pixels("d", 730, 33)).value();

  ASSERT_EQ(dataset->rows(), 730u);
  EXPECT_EQ(dataset->block_count(), 15u);
  EXPECT_EQ(dataset->manifest().chunks.size(), 4u);
  uint64_t row = 0;
  for (uint64_t b = 0; b < dataset->block_count(); ++b) {
    const BlockPlace& block = dataset->block(b);
    const ChunkReader chunk = ChunkReader::open(*dataset, block.chunk).value();
    std::vector<std::byte> pixels(block.stored.rows * 33);
    ASSERT_TRUE(chunk.read_column(block.index_in_chunk, 0, pixels).ok());
    for (uint64_t i = 0; i < block.stored.rows; ++i, ++row) {
      EXPECT_EQ(pixels[i * 33 + 5], static_cast<std::byte>(row * 7 + 5));
    }
  }
  EXPECT_EQ(row, 730u);
}

TEST_F(DatasetTest, NamesTheChunkBlockAndRowOfEveryRow) {
  const auto dataset = Dataset::open(write_pixels("d", 730, 33)).value();

  EXPECT_EQ(dataset->row_name(0), dataset->chunk_path(0) + ", block 0, row 0");
  EXPECT_EQ(dataset->row_name(50), dataset->chunk_path(0) + ", block 1, row 0");
  EXPECT_EQ(dataset->row_name(729), dataset->chunk_path(3) + ", block 2, row 29");
}

TEST_F(DatasetTest, NamesTheNearestColumnWhenOneIsMissing) {
  const auto dataset = Dataset::open(write_pixels("d", 10, 3)).value();

  const auto column = dataset->find_column("pixel");

  ASSERT_EQ(column.status().code(), Code::kNotFound);
  EXPECT_THAT(column.status().to_string(),
              HasSubstr("no column \"pixel\"; did you mean \"pixels\"?"));
}

TEST_F(DatasetTest, SaysWhenTheFolderOrTheManifestIsMissing) {
  std::filesystem::create_directory(path("empty"));

  EXPECT_THAT(Dataset::open(path("none")).status().to_string(), HasSubstr("no such folder"));
  EXPECT_THAT(Dataset::open(path("empty")).status().to_string(), HasSubstr("no manifest in it"));
}

}  // namespace
}  // namespace ballast
