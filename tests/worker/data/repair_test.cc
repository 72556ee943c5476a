#include "worker/data/repair.h"

#include <gmock/gmock.h>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/examine.h"

namespace ballast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class RepairTest : public DataFixture {
 protected:
  void SetUp() override {
    folder_ = write_pixels("d", 1000, 16);
    copy_ = path("copy");
    std::filesystem::copy(folder_, copy_);
    const auto dataset = Dataset::open(folder_).value();
    ASSERT_GT(dataset->manifest().chunks.size(), 3u);
    for (uint32_t c = 0; c < 3; ++c) chunks_.push_back(dataset->chunk_name(c));
    first_row_ = dataset->blocks_of(1).front().first_row;
    rows_ = dataset->manifest().chunks[1].rows;
  }
  [[nodiscard]] std::string in(const std::string& folder, size_t chunk) const {
    return folder + "/" + chunks_[chunk];
  }

  std::string folder_;
  std::string copy_;
  std::vector<std::string> chunks_;
  uint64_t first_row_ = 0;
  uint64_t rows_ = 0;
};

TEST_F(RepairTest, FetchesWhatIsDamagedCutShortOrGoneFromACopy) {
  flip_bit(in(folder_, 0), 4100);
  std::filesystem::resize_file(in(folder_, 1), 5000);
  std::filesystem::remove(in(folder_, 2));

  const RepairReport report = repair_dataset(folder_, {.from = copy_}).value();

  EXPECT_THAT(report.problems, SizeIs(3));
  EXPECT_EQ(report.restored, chunks_);
  EXPECT_TRUE(report.is_whole());
  EXPECT_THAT(verify_dataset(folder_), IsEmpty());
  EXPECT_THAT(unnamed_files(*Dataset::open(folder_).value()), IsEmpty());
}

TEST_F(RepairTest, TakesNoDamagedCopyWhereverTheDamageIs) {
  const uint64_t bytes = std::filesystem::file_size(in(copy_, 1));
  for (const uint64_t at : {uint64_t{3}, uint64_t{4100}, bytes - 100, bytes - 20, bytes - 1}) {
    std::filesystem::remove(in(folder_, 1));
    flip_bit(in(copy_, 1), at);

    const RepairReport report = repair_dataset(folder_, {.from = copy_}).value();
    flip_bit(in(copy_, 1), at);

    // The trailer is known from the footer, so damage in it costs nothing.
    const bool in_trailer = at >= bytes - 32;
    EXPECT_EQ(report.is_whole(), in_trailer) << "byte " << at;
    EXPECT_EQ(std::filesystem::exists(in(folder_, 1)), in_trailer);
    if (!in_trailer) {
      EXPECT_THAT(report.lost.at(0).why_not_fetched.to_string(),
                  HasSubstr("of " + in(copy_, 1) + " at byte "));
    }
  }
}

TEST_F(RepairTest, SetsAsideWhatItCannotFetchAndSaysWhichRowsAreLost) {
  flip_bit(in(folder_, 1), 4100);

  const RepairReport report = repair_dataset(folder_, {}).value();

  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].first_row, first_row_);
  EXPECT_EQ(report.lost[0].rows, rows_);
  EXPECT_EQ(report.lost[0].set_aside, chunks_[1] + ".damaged");
  EXPECT_FALSE(report.is_whole());
  EXPECT_TRUE(std::filesystem::exists(in(folder_, 1) + ".damaged"));
  EXPECT_THAT(unnamed_files(*Dataset::open(folder_).value()), ElementsAre(chunks_[1] + ".damaged"));

  EXPECT_TRUE(repair_dataset(folder_, {.from = copy_}).value().is_whole()) << "a copy turned up";
}

TEST_F(RepairTest, LeavesLostRowsOutOnlyWhenAsked) {
  std::filesystem::remove(in(folder_, 1));

  const RepairReport report = repair_dataset(folder_, {.drop = true}).value();

  EXPECT_TRUE(report.dropped);
  EXPECT_TRUE(report.is_whole());
  EXPECT_EQ(Dataset::open(folder_).value()->rows(), 1000 - rows_);
  EXPECT_THAT(verify_dataset(folder_), IsEmpty());
}

TEST_F(RepairTest, DropsNotTheLastRowsThereAre) {
  const auto dataset = Dataset::open(folder_).value();
  for (uint32_t c = 0; c < dataset->manifest().chunks.size(); ++c) {
    std::filesystem::remove(dataset->chunk_path(c));
  }

  EXPECT_THAT(repair_dataset(folder_, {.drop = true}).status().to_string(),
              HasSubstr("every chunk is lost"));
}

TEST_F(RepairTest, ChangesNothingInAWholeDataSet) {
  const RepairReport report = repair_dataset(folder_, {.drop = true}).value();

  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_FALSE(report.dropped);
  EXPECT_EQ(Dataset::open(folder_).value()->rows(), 1000u);
}

}  // namespace
}  // namespace ballast
