#include "worker/data/examine.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/worker/data/data_fixture.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class ExamineTest : public DataFixture {
 protected:
  std::vector<ColumnStatistics> measured(const std::vector<float>& values, uint32_t width) {
    return measure_columns(*Dataset::open(write_floats("d", values, width)).value()).value();
  }
};

TEST_F(ExamineTest, MeasuresAColumnAsAWholeAndEachOfItsValues) {
  const auto columns = measured({1, 10, 2, 10, 3, 10}, 2);

  EXPECT_EQ(columns[0].min, 1);
  EXPECT_EQ(columns[0].max, 10);
  EXPECT_DOUBLE_EQ(columns[0].mean[0], 6);
  EXPECT_DOUBLE_EQ(columns[0].mean[1], 2);
  EXPECT_DOUBLE_EQ(columns[0].std[1], std::sqrt(2.0 / 3));
  EXPECT_DOUBLE_EQ(columns[0].std[2], 0);
}

TEST_F(ExamineTest, KeepsASmallSpreadBesideALargeMean) {
  const auto columns = measured({16777212, 16777214, 16777216}, 1);

  EXPECT_DOUBLE_EQ(columns[0].mean[0], 16777214);
  EXPECT_DOUBLE_EQ(columns[0].std[0], std::sqrt(8.0 / 3));
}

TEST_F(ExamineTest, CountsNonfiniteValuesAndLeavesThemOut) {
  const auto columns = measured({1, std::nanf(""), 3, INFINITY}, 1);

  EXPECT_EQ(columns[0].nonfinite, 2u);
  EXPECT_DOUBLE_EQ(columns[0].mean[0], 2);
}

TEST_F(ExamineTest, WritesTheTomlThatStandardizesAndOneForAConstant) {
  const auto columns = measured({1, 10, 3, 10}, 2);

  EXPECT_EQ(standardize_toml(columns[0], /*per_value=*/true),
            "[[data.transform]]\nkind = \"standardize\"\ncolumn = \"values\"\n"
            "mean = [2, 10]\nstd = [1, 1]\n");
}

TEST_F(ExamineTest, ShowsTheFirstRowsAcrossBlocks) {
  const auto dataset = Dataset::open(write_pixels("p", 120, 5)).value();

  const std::string text = head_text(*dataset, 60, 3).value();

  EXPECT_THAT(text, HasSubstr("row 0\n  pixels: 0 1 2 ...\n  label: 0\n"));
  EXPECT_THAT(text, HasSubstr("row 59\n  pixels: 157 158 159 ...\n  label: 9\n"));
}

}  // namespace
}  // namespace ballast
