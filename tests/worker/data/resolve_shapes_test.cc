#include "worker/data/resolve_shapes.h"

#include <gmock/gmock.h>

#include "common/base/hash.h"
#include "tests/worker/data/data_fixture.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ResolveShapesTest : public DataFixture {
 protected:
  ResolveShapesTest() {
    job_.data.train = write_pixels("train", 120, 16);
    job_.data.test = write_pixels("test", 30, 16);
    job_.data.features = {"pixels"};
    job_.data.label = "label";
  }

  JobConfig job_;
};

TEST_F(ResolveShapesTest, FillsRowsWidthsAndHashesFromTheManifests) {
  ASSERT_TRUE(resolve_shapes(job_).ok());

  EXPECT_EQ(job_.resolved.train_rows, 120u);
  EXPECT_EQ(job_.resolved.test_rows, 30u);
  EXPECT_EQ(job_.resolved.input_width, 16u);
  EXPECT_EQ(job_.resolved.label_width, 1u);
  EXPECT_EQ(job_.resolved.train_row_bytes, 16u + sizeof(int32_t)) << "as stored, not as floats";
  EXPECT_EQ(job_.resolved.test_row_bytes, 16u + sizeof(int32_t));
  EXPECT_EQ(job_.resolved.train_manifest_xxh3,
            hex64(Dataset::open(job_.data.train).value()->manifest_xxh3()));
  EXPECT_NE(job_.resolved.train_manifest_xxh3, job_.resolved.test_manifest_xxh3);
}

TEST_F(ResolveShapesTest, CountsWhatIsDecodedOnlyWhereColumnsHaveACodec) {
  ASSERT_TRUE(resolve_shapes(job_).ok());
  EXPECT_EQ(job_.resolved.train_decode_bytes, 0u);
  DatasetWriterOptions options;
  options.codecs = {{"", Codec::kZstd}};
  options.block_bytes = 3000;
  auto writer = DatasetWriter::create(
                    path("encoded"),
                    {{"pixels", ColumnType::kU8, {16}}, {"label", ColumnType::kI32, {}}}, options)
                    .value();
  const std::vector<std::byte> row(20);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(writer.add_row(row).ok());
  ASSERT_TRUE(writer.commit().ok());
  job_.data.train = path("encoded");

  ASSERT_TRUE(resolve_shapes(job_).ok());

  EXPECT_EQ(job_.resolved.train_decode_bytes, 4096u) << "a block as stored has all its columns";
}

TEST_F(ResolveShapesTest, CountsTheWidthsAfterTransforms) {
  TransformConfig one_hot;
  one_hot.kind = TransformKind::kOneHot;
  one_hot.column = "label";
  one_hot.classes = 10;
  job_.data.transforms = {one_hot};
  job_.data.features = {"pixels", "label"};

  ASSERT_TRUE(resolve_shapes(job_).ok());

  EXPECT_EQ(job_.resolved.input_width, 26u);
  EXPECT_EQ(job_.resolved.label_width, 10u);
}

TEST_F(ResolveShapesTest, LeavesTheTestSetOutWhenThereIsNone) {
  job_.data.test.clear();

  ASSERT_TRUE(resolve_shapes(job_).ok());

  EXPECT_EQ(job_.resolved.test_rows, 0u);
  EXPECT_EQ(job_.resolved.test_manifest_xxh3, "");
}

TEST_F(ResolveShapesTest, NamesTheFolderThatIsMissing) {
  job_.data.test = path("nowhere");

  const Status status = resolve_shapes(job_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("data set " + path("nowhere") + ": no such folder"));
}

TEST_F(ResolveShapesTest, NamesTheNearestColumnForFeaturesLabelAndTransforms) {
  JobConfig job = job_;
  job.data.features = {"pixel"};
  EXPECT_THAT(resolve_shapes(job).to_string(), HasSubstr("\"pixel\"; did you mean \"pixels\"?"));
  job = job_;
  job.data.label = "lable";
  EXPECT_THAT(resolve_shapes(job).to_string(), HasSubstr("\"lable\"; did you mean \"label\"?"));
  job = job_;
  job.data.transforms.resize(1);
  job.data.transforms[0].column = "pixles";
  EXPECT_THAT(resolve_shapes(job).to_string(), HasSubstr("\"pixles\"; did you mean \"pixels\"?"));
  EXPECT_EQ(exit_code(resolve_shapes(job)), 2);
}

TEST_F(ResolveShapesTest, RefusesAnEmptyDataSet) {
  job_.data.train = write_pixels("empty", 0, 16);

  const Status status = resolve_shapes(job_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("at least one row expected, none found"));
}

TEST_F(ResolveShapesTest, RefusesATestSetOfAnotherWidth) {
  job_.data.test = write_pixels("wide", 30, 17);

  const Status status = resolve_shapes(job_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), AllOf(HasSubstr("16 features"), HasSubstr("17 and 1 found")));
}

}  // namespace
}  // namespace ballast
