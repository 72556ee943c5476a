#include "worker/data/transform.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/eval_loader.h"

namespace ballast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TransformConfig scale(double factor, double shift) {
  TransformConfig transform;
  transform.column = "pixels";
  transform.factor = factor;
  transform.shift = shift;
  return transform;
}

TransformConfig standardize(std::vector<double> mean, std::vector<double> std) {
  TransformConfig transform;
  transform.kind = TransformKind::kStandardize;
  transform.column = "pixels";
  transform.mean = std::move(mean);
  transform.std = std::move(std);
  return transform;
}

TransformConfig one_hot(const std::string& column, uint32_t classes) {
  TransformConfig transform;
  transform.kind = TransformKind::kOneHot;
  transform.column = column;
  transform.classes = classes;
  return transform;
}

class TransformTest : public DataFixture {
 protected:
  TransformTest() {
    job_.data.features = {"pixels"};
    job_.data.label = "label";
  }

  // Row `row` of a set of 3 columns u8 0 1 2, 7 8 9, 14 15 16 ... after the job's transforms.
  std::vector<float> row_of(uint32_t row) {
    auto loader = EvalLoader::open(job_, folder(), 1, 100);
    EXPECT_TRUE(loader.ok()) << loader.status().to_string();
    const Batch batch = (*loader)->take(LaneId(0), 0);
    const auto values = batch.features.subspan(size_t{row} * batch.width, batch.width);
    return {values.begin(), values.end()};
  }

  Status refusal() { return EvalLoader::open(job_, folder(), 1, 100).status(); }

  std::string folder() {
    if (folder_.empty()) folder_ = write_pixels("d", 5, 3, /*classes=*/4);
    return folder_;
  }

  JobConfig job_;
  std::string folder_;
};

TEST_F(TransformTest, ScalesByFactorAndShift) {
  job_.data.transforms = {scale(0.5, 1)};

  EXPECT_THAT(row_of(1), ElementsAre(4.5f, 5.0f, 5.5f));
}

TEST_F(TransformTest, StandardizesWithOneOrWithAMeanForEachFeature) {
  job_.data.transforms = {standardize({7}, {2})};
  EXPECT_THAT(row_of(1), ElementsAre(0.0f, 0.5f, 1.0f));

  job_.data.transforms = {standardize({7, 8, 9}, {1, 2, 4})};
  EXPECT_THAT(row_of(2), ElementsAre(7.0f, 3.5f, 1.75f));
}

TEST_F(TransformTest, AppliesSeveralInTheOrderGiven) {
  job_.data.transforms = {scale(2, 1), standardize({1}, {4}), scale(1, -3)};

  // 14 15 16 -> 29 31 33 -> 7 7.5 8 -> 4 4.5 5
  EXPECT_THAT(row_of(2), ElementsAre(4.0f, 4.5f, 5.0f));
}

TEST_F(TransformTest, ScalesToAConstantWithFactorZero) {
  job_.data.transforms = {scale(0, 5), standardize({1}, {2})};

  EXPECT_THAT(row_of(2), ElementsAre(2.0f, 2.0f, 2.0f));
}

TEST_F(TransformTest, MakesOneHotRowsOfAnIntegerColumnBesideOthers) {
  job_.data.features = {"label", "pixels"};
  job_.data.transforms = {one_hot("label", 4)};

  EXPECT_THAT(row_of(2), ElementsAre(0, 0, 1, 0, 14, 15, 16));
}

TEST_F(TransformTest, KeepsNarrowValuesFarFromZeroApart) {
  folder_ = write_floats("far", {16777216.0f, 16777218.0f}, 1);
  job_.data.features = {"values"};
  job_.data.transforms = {standardize({16777217}, {1})};
  job_.data.transforms[0].column = "values";

  EXPECT_THAT(row_of(0), ElementsAre(0.0f));  // 16777217 rounds to 16777216 as a float
  EXPECT_THAT(row_of(1), ElementsAre(2.0f));
}

TEST_F(TransformTest, RefusesWhatDoesNotFitItsColumn) {
  job_.data.transforms = {standardize({1, 2}, {1})};
  EXPECT_THAT(refusal().to_string(), HasSubstr("1 or 3 values of mean expected, 2 found"));
  job_.data.transforms = {standardize({1}, {0})};
  EXPECT_THAT(refusal().to_string(), HasSubstr("std[0] > 0 expected, 0 found"));
  job_.data.transforms = {one_hot("pixels", 4)};
  EXPECT_THAT(refusal().to_string(), HasSubstr("an integer column with one value a row expected"));
  job_.data.transforms = {one_hot("label", 4), one_hot("label", 4)};
  EXPECT_THAT(refusal().to_string(), HasSubstr("a one_hot column takes no other transform"));
  EXPECT_EQ(exit_code(refusal()), 2);
}

TEST_F(TransformTest, RefusesATransformOfAColumnThatIsNotUsed) {
  job_.data.features = {"label"};
  job_.data.transforms = {scale(1, 0)};

  EXPECT_THAT(refusal().to_string(), HasSubstr("neither in data.features nor data.label"));
}

TEST_F(TransformTest, RefusesAValueOutsideTheClassesWithItsRow) {
  job_.data.features = {"pixels", "label"};
  job_.data.transforms = {one_hot("label", 3)};

  EXPECT_EQ(exit_code(refusal()), 2);
  EXPECT_THAT(refusal().to_string(),
              HasSubstr("block 0, row 3, column \"label\", value 0: 0 to 2 for one_hot expected, 3 "
                        "found"));
}

TEST_F(TransformTest, FindsTheFirstNonfiniteValueAnywhere) {
  ColumnPlan plan;
  plan.spec = {"x", ColumnType::kF32, {7}};
  for (size_t bad : {size_t{0}, size_t{1023}, size_t{1024}, size_t{2999}}) {
    std::vector<float> values(3000, 1.0f);
    values[bad] = -std::numeric_limits<float>::infinity();
    EXPECT_EQ(find_unusable(plan, std::as_bytes(std::span(values))), bad);
  }
  const std::vector<float> fine(3000, std::numeric_limits<float>::max());
  EXPECT_EQ(find_unusable(plan, std::as_bytes(std::span(fine))), 3000u);
}

}  // namespace
}  // namespace ballast
