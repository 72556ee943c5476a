#include "worker/tool/data_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr bool kFootersOnly = false;
constexpr uint64_t kNothingIsSmall = 0;

class DataCheck : public DataFixture {
 protected:
  // A model of 10 classes over a data set of several chunks.
  void use(const std::string& folder, const std::string& features = "pixels") {
    job_.data.train = folder;
    job_.data.features = {features};
    job_.data.label = "label";
    job_.model.layers = {{.kind = LayerKind::kDense, .units = 10}};
    const Status status = resolve_shapes(job_);
    ASSERT_TRUE(status.ok()) << status.to_string();
  }

  [[nodiscard]] std::string findings(bool every_byte, uint64_t small = kNothingIsSmall) const {
    std::string text;
    for (const Finding& finding : judge_data(job_, every_byte, small)) {
      text += (finding.stops ? "problem: " : "note: ") + finding.text + "\n";
    }
    return text;
  }

  [[nodiscard]] std::string chunk(uint32_t index) const {
    return Dataset::open(job_.data.train).value()->chunk_path(index);
  }

  JobConfig job_;
};

TEST_F(DataCheck, FindsNothingWrongWithWholeData) {
  use(write_pixels("d", 1000, 16));

  EXPECT_THAT(findings(true), IsEmpty());
}

TEST_F(DataCheck, SaysWhatItDidNotReadOfLargeData) {
  use(write_pixels("d", 1000, 16));

  EXPECT_THAT(findings(kFootersOnly),
              AllOf(StartsWith("note: data set " + job_.data.train),
                    HasSubstr("only sizes and footers were verified; `doctor --verify`")));
}

TEST_F(DataCheck, NamesEveryChunkThatIsMissingCutShortOrHasADamagedFooter) {
  use(write_pixels("d", 1000, 16));
  const std::string cut = chunk(0), footer = chunk(1), missing = chunk(2);
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) - 100);
  flip_bit(footer, std::filesystem::file_size(footer) - 60);
  std::filesystem::remove(missing);

  const std::string found = findings(kFootersOnly);

  EXPECT_THAT(found, HasSubstr("problem: " + cut + " is cut short"));
  EXPECT_THAT(found, HasSubstr("footer of " + footer));
  EXPECT_THAT(found, HasSubstr("problem: open " + missing));
}

TEST_F(DataCheck, EndsAListOfLostChunksWithTheirNumber) {
  use(write_pixels("d", 4000, 16));
  const auto dataset = Dataset::open(job_.data.train).value();
  const auto chunks = static_cast<uint32_t>(dataset->manifest().chunks.size());
  for (uint32_t c = 0; c < chunks; ++c) std::filesystem::remove(dataset->chunk_path(c));

  EXPECT_THAT(findings(kFootersOnly), HasSubstr(std::to_string(chunks - 8) + " more; `ballast data "
                                                                             "verify"));
}

TEST_F(DataCheck, FindsAFlippedBitInABlockOfSmallDataOrWhenAsked) {
  use(write_pixels("d", 1000, 16));
  flip_bit(chunk(1), 4096 + 5);

  EXPECT_THAT(findings(kFootersOnly), HasSubstr("note: "));
  EXPECT_THAT(findings(true), HasSubstr("problem: column \"pixels\" in block 0 of " + chunk(1)));
  EXPECT_THAT(findings(kFootersOnly, 1u << 20), HasSubstr("problem: column \"pixels\""));
}

TEST_F(DataCheck, FindsLabelsBeyondTheClassesInTheFooters) {
  use(write_pixels("d", 1200, 16, 12));

  const std::string found = findings(kFootersOnly);

  EXPECT_THAT(found, HasSubstr("problem: data set " + job_.data.train +
                               ": 200 rows have label label = 10, 11: label out of range"));
  EXPECT_THAT(found, HasSubstr("0 to 9"));
}

TEST_F(DataCheck, ReadsLabelsThatNoFooterCounts) {
  const std::string folder = write_floats("d", {1, 2, 3, 4}, 2);  // its writer counts no labels
  use(folder, "values");
  job_.model.layers = {{.kind = LayerKind::kDense, .units = 10}};
  EXPECT_THAT(findings(kFootersOnly), HasSubstr("labels were not checked"));
  EXPECT_THAT(findings(true), IsEmpty());

  job_.data.label = "values";  // as a class, 4 is out of reach of two units
  job_.data.features = {"label"};
  job_.model.loss = LossKind::kSigmoidCrossEntropy;
  job_.model.layers = {{.kind = LayerKind::kDense, .units = 2}};
  ASSERT_TRUE(resolve_shapes(job_).ok());

  EXPECT_THAT(findings(true), AllOf(HasSubstr("block 0, row 0"), HasSubstr("label out of range")));
}

TEST_F(DataCheck, FindsValuesThatTrainingRefuses) {
  use(write_floats("d", {1, 2, std::numeric_limits<float>::quiet_NaN(), 4}, 2), "values");

  EXPECT_THAT(findings(true), AllOf(HasSubstr("problem: "), HasSubstr("row 1")));
}

}  // namespace
}  // namespace ballast
