#include "worker/data/examine.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/worker/data/data_fixture.h"

namespace ballast {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class ExamineTest : public DataFixture {
 protected:
  std::vector<ColumnStatistics> measured(const std::vector<float>& values, uint32_t width) {
    return measure_columns(*Dataset::open(write_floats("d", values, width)).value()).value();
  }
};

TEST_F(ExamineTest, MeasuresAColumnAsAWholeAndEachOfItsValues) {
  const auto columns = measured({1, 10, 2, 10, 3, 10}, 2);

  EXPECT_EQ(columns[0].all.min, 1);
  EXPECT_EQ(columns[0].all.max, 10);
  EXPECT_DOUBLE_EQ(columns[0].all.mean, 6);
  EXPECT_EQ(columns[0].each[0].max, 3);
  EXPECT_DOUBLE_EQ(columns[0].each[0].mean, 2);
  EXPECT_DOUBLE_EQ(columns[0].each[0].std, std::sqrt(2.0 / 3));
  EXPECT_EQ(columns[0].each[1].min, 10);
  EXPECT_DOUBLE_EQ(columns[0].each[1].std, 0);
}

TEST_F(ExamineTest, KeepsASmallSpreadBesideALargeMean) {
  const auto columns = measured({16777212, 16777214, 16777216}, 1);

  EXPECT_DOUBLE_EQ(columns[0].all.mean, 16777214);
  EXPECT_DOUBLE_EQ(columns[0].all.std, std::sqrt(8.0 / 3));
}

TEST_F(ExamineTest, CountsNonfiniteValuesAndLeavesThemOut) {
  const auto columns = measured({1, std::nanf(""), 3, NAN, 5, INFINITY}, 2);

  EXPECT_EQ(columns[0].all.nonfinite, 3u);
  EXPECT_DOUBLE_EQ(columns[0].all.mean, 3);
  EXPECT_EQ(columns[0].each[1].nonfinite, 3u);
  EXPECT_EQ(columns[0].each[1].min, 0) << "no value at all is no infinite one";
}

TEST_F(ExamineTest, TakesFewValuesOfARowOneByOneAndWritesOneForTheStdOfAConstant) {
  const auto columns = measured({1, 10, 3, 10}, 2);

  const std::string text = statistics_text(columns, "label", std::nullopt);

  EXPECT_THAT(text, ContainsRegex("#   values.0. +1 +3 +2 +1 +0\n#   values.1. +10 +10 +10 +0"));
  EXPECT_THAT(text, HasSubstr("[[data.transform]]\nkind = \"standardize\"\ncolumn = \"values\"\n"
                              "mean = [2, 10]\nstd = [1, 1]\n"));
  EXPECT_THAT(statistics_text(columns, "label", false), HasSubstr("mean = [6]\n"));
  EXPECT_THAT(statistics_text(columns, "values", std::nullopt),
              Not(HasSubstr("column = \"values\"")));
}

TEST_F(ExamineTest, TakesManyValuesOfARowTogetherAndSaysSo) {
  std::vector<float> values(2 * (kPerValueMax + 1), 3);
  const auto columns = measured(values, kPerValueMax + 1);

  const std::string text = statistics_text(columns, "label", std::nullopt);

  EXPECT_THAT(text, HasSubstr("over all 65 values of a row; --per-value takes each by itself"));
  EXPECT_THAT(text, HasSubstr("mean = [3]\n"));
  EXPECT_THAT(statistics_text(columns, "label", true), HasSubstr("values[64]"));
}

TEST_F(ExamineTest, ShowsTheFirstRowsAcrossBlocks) {
  const auto dataset = Dataset::open(write_pixels("p", 120, 5)).value();

  const std::string text = head_text(*dataset, 60, 3).value();

  EXPECT_THAT(text, HasSubstr("row 0\n  pixels: 0 1 2 ...\n  label: 0\n"));
  EXPECT_THAT(text, HasSubstr("row 59\n  pixels: 157 158 159 ...\n  label: 9\n"));
}

}  // namespace
}  // namespace ballast
