// Chains of transforms: what the numbers become, what random ones depend on, what rows weigh.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <set>

#include "common/base/hash.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/batch_loader.h"
#include "worker/data/eval_loader.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

using Floats = std::vector<float>;

TransformConfig made(TransformKind kind, const std::string& column) {
  TransformConfig transform;
  transform.kind = kind;
  transform.column = column;
  return transform;
}

TransformConfig clip(const std::string& column, double low, double high) {
  TransformConfig transform = made(TransformKind::kClip, column);
  transform.low = low;
  transform.high = high;
  return transform;
}

TransformConfig hash(const std::string& column, uint64_t buckets, uint64_t seed = 0) {
  TransformConfig transform = made(TransformKind::kHash, column);
  transform.buckets = buckets;
  transform.hash_seed = seed;
  return transform;
}

TransformConfig one_hot(const std::string& column, uint32_t classes) {
  TransformConfig transform = made(TransformKind::kOneHot, column);
  transform.classes = classes;
  return transform;
}

TransformConfig bucketize(const std::string& column, std::vector<double> boundaries) {
  TransformConfig transform = made(TransformKind::kBucketize, column);
  transform.boundaries = std::move(boundaries);
  return transform;
}

TransformConfig cross(const std::string& name, std::vector<std::string> columns, uint64_t buckets) {
  TransformConfig transform = made(TransformKind::kCross, name);
  transform.columns = std::move(columns);
  transform.buckets = buckets;
  return transform;
}

TransformConfig filter(const std::string& column, Relation relation, double value) {
  TransformConfig transform = made(TransformKind::kFilter, column);
  transform.relation = relation;
  transform.value = value;
  return transform;
}

// Row i of a set of kRows: "value" f32 = i - 4, "city" i64 = 1e15 + i / 2, "day" i32 = i mod 7,
// "words" i32 [5] = 10 i + k, "picture" u8 [4, 4] = 16 i + pixel, "importance" f32 = i / 4,
// "label" i32 = 0 for most, 1 for every fourth.
class ChainTest : public DataFixture {
 protected:
  static constexpr uint32_t kRows = 40;

  ChainTest() {
    folder_ = write("set");
    job_.data.train = folder_;
    job_.data.label = "label";
    job_.data.order = Order::kFull;
    job_.data.memory_mib = 64;
    job_.seed = 11;
  }

  std::string write(const std::string& name) {
    DatasetWriterOptions options;
    options.label = "label";
    options.block_bytes = 400;
    auto writer = DatasetWriter::create(path(name),
                                        {{"value", ColumnType::kF32, {}},
                                         {"city", ColumnType::kI64, {}},
                                         {"day", ColumnType::kI32, {}},
                                         {"words", ColumnType::kI32, {5}},
                                         {"picture", ColumnType::kU8, {4, 4}},
                                         {"importance", ColumnType::kF32, {}},
                                         {"label", ColumnType::kI32, {}}},
                                        options);
    EXPECT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> row(writer->row_bytes());
    for (int32_t i = 0; i < static_cast<int32_t>(kRows); ++i) {
      std::byte* at = put(row.data(), static_cast<float>(i - 4));
      at = put(at, int64_t{1'000'000'000'000'000} + i / 2);
      at = put(at, i % 7);
      for (int32_t k = 0; k < 5; ++k) at = put(at, 10 * i + k);
      for (int k = 0; k < 16; ++k) at = put(at, static_cast<uint8_t>(16 * i + k));
      at = put(at, static_cast<float>(i) / 4);
      at = put(at, i % 4 == 3 ? 1 : 0);
      EXPECT_TRUE(writer->add_row(row).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return path(name);
  }

  Batch evaluated() {
    auto loader = EvalLoader::open(job_, folder_, 1, kRows);
    EXPECT_TRUE(loader.ok()) << loader.status().to_string();
    return (*loader)->take(LaneId(0), 0);
  }
  Floats row_of(uint32_t row) {
    const Batch batch = evaluated();
    const auto values = batch.features.subspan(size_t{row} * batch.width, batch.width);
    return {values.begin(), values.end()};
  }
  std::string refusal() { return EvalLoader::open(job_, folder_, 1, kRows).status().to_string(); }

  // Features of each row of an epoch, by the row's number.
  std::vector<Floats> trained(uint64_t epoch, uint32_t lanes = 1, Order order = Order::kFull,
                              uint32_t threads = 1) {
    JobConfig job = job_;
    job.data.order = order;
    job.data.window = 2;
    job.data.threads = threads;
    job.train.lanes = lanes;
    const LaneSchedule schedule(kRows, lanes, lanes * 4, 3);
    auto loader = BatchLoader::open(job, schedule);
    EXPECT_TRUE(loader.ok()) << loader.status().to_string();
    std::vector<Floats> rows(kRows);
    for (Clock t = 0; t < schedule.steps_per_epoch(); ++t) {
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        const LaneId id(lane);
        const Batch batch =
            (*loader)->take({&id, 1}, epoch * schedule.steps_per_epoch() + t).value();
        for (uint32_t i = 0; i < batch.rows; ++i) {
          const auto values = batch.features.subspan(size_t{i} * batch.width, batch.width);
          rows[batch.row_ids[i]] = {values.begin(), values.end()};
        }
      }
    }
    return rows;
  }

  JobConfig job_;
  std::string folder_;
};

// ---------------------------------------------------------------- numbers

TEST_F(ChainTest, Log1pIsOddSoThatNegativeValuesKeepTheirSign) {
  job_.data.features = {"value"};
  job_.data.transforms = {made(TransformKind::kLog1p, "value")};

  EXPECT_THAT(row_of(7), ElementsAre(std::log1p(3.0f)));
  EXPECT_THAT(row_of(1), ElementsAre(-std::log1p(3.0f)));
  EXPECT_THAT(row_of(4), ElementsAre(0.0f));
}

TEST_F(ChainTest, TransformsFollowOneAnotherInTheOrderOfTheFile) {
  job_.data.features = {"value"};
  TransformConfig scale = made(TransformKind::kScale, "value");
  scale.factor = 2;
  TransformConfig standardize = made(TransformKind::kStandardize, "value");
  standardize.mean = {1};
  standardize.std = {4};

  job_.data.transforms = {scale, clip("value", -3, 5), standardize};
  EXPECT_THAT(row_of(0), ElementsAre(-1.0f));  // -4 -> -8 -> -3 -> -1
  EXPECT_THAT(row_of(39), ElementsAre(1.0f));  // 35 -> 70 -> 5 -> 1
  job_.data.transforms = {clip("value", -3, 5), scale, standardize};
  EXPECT_THAT(row_of(0), ElementsAre(-1.75f));  // -4 -> -3 -> -6 -> -1.75
}

TEST_F(ChainTest, BucketizeCountsTheBoundariesThatAValueHasReached) {
  job_.data.features = {"value"};
  job_.data.transforms = {bucketize("value", {-3, 0, 30})};

  EXPECT_THAT(row_of(0), ElementsAre(0.0f));   // -4
  EXPECT_THAT(row_of(1), ElementsAre(1.0f));   // -3
  EXPECT_THAT(row_of(4), ElementsAre(2.0f));   // 0
  EXPECT_THAT(row_of(39), ElementsAre(3.0f));  // 35

  job_.data.transforms.push_back(one_hot("value", 4));
  EXPECT_THAT(row_of(1), ElementsAre(0, 1, 0, 0));
}

TEST_F(ChainTest, HashTakesWholeNumbersExactlyAndGoesOnToOneHot) {
  job_.data.features = {"city"};
  job_.data.transforms = {hash("city", 1000, 5)};
  const int64_t city = 1'000'000'000'000'003;  // as a float it would be its neighbour
  const auto expected = static_cast<float>(xxh3(std::as_bytes(std::span(&city, 1)), 5) % 1000);
  EXPECT_THAT(row_of(6), ElementsAre(expected));
  EXPECT_THAT(row_of(7), ElementsAre(expected));
  EXPECT_NE(row_of(8), row_of(7));

  job_.data.transforms = {hash("city", 3), one_hot("city", 3)};
  std::set<Floats> seen;
  for (uint32_t row = 0; row < kRows; ++row) {
    const Floats values = row_of(row);
    EXPECT_EQ(std::count(values.begin(), values.end(), 1.0f), 1);
    seen.insert(values);
  }
  EXPECT_EQ(seen.size(), 3u);
}

// The numbers are those of Python's xxhash 4.1: xxh3_64_intdigest(struct.pack("<q", 42), 7) % 1000
// and xxh3_64_intdigest(struct.pack("<qq", 42, -1), 0) % 1000.
TEST_F(ChainTest, HashIsTheOneThatOtherProgramsCompute) {
  const int64_t numbers[] = {42, -1};

  EXPECT_EQ(hash_bucket(std::span(numbers).first(1), 7, 1000), 957);
  EXPECT_EQ(hash_bucket(numbers, 0, 1000), 584);
}

TEST_F(ChainTest, ACrossIsOneIdOfItsColumnsAfterTheirTransforms) {
  job_.data.features = {"weekend_city", "day"};
  job_.data.transforms = {bucketize("value", {0}), cross("weekend_city", {"day", "value"}, 50)};

  const auto id = [](int64_t day, int64_t old) {
    const int64_t both[] = {day, old};
    return static_cast<float>(xxh3(std::as_bytes(std::span(both)), 0) % 50);
  };
  EXPECT_THAT(row_of(3), ElementsAre(id(3, 0), 3));
  EXPECT_THAT(row_of(16), ElementsAre(id(2, 1), 2));

  job_.data.transforms.push_back(one_hot("weekend_city", 50));
  EXPECT_EQ(row_of(3).size(), 51u);
  EXPECT_EQ(row_of(3)[static_cast<size_t>(id(3, 0))], 1.0f);
}

TEST_F(ChainTest, WideColumnsGoThroughInTiles) {
  job_.data.features = {"words", "picture"};
  job_.data.transforms = {clip("words", 3, 391), made(TransformKind::kLog1p, "picture")};

  EXPECT_EQ(row_of(0)[0], 3);
  EXPECT_EQ(row_of(0)[4], 4);
  EXPECT_EQ(row_of(39)[1], 391);
  EXPECT_EQ(row_of(39)[3], 391);
  EXPECT_EQ(row_of(2)[5 + 7], std::log1p(39.0f));
}

TEST_F(ChainTest, SaysWhichTransformDoesNotFitAndWhatWould) {
  job_.data.features = {"value"};
  job_.data.transforms = {hash("value", 10)};
  EXPECT_THAT(refusal(), HasSubstr("data.transform hash of column \"value\": whole numbers "
                                   "expected, floats found; bucketize makes some of them"));
  job_.data.transforms = {bucketize("value", {0, 1, 2}), one_hot("value", 3)};
  EXPECT_THAT(refusal(), HasSubstr("values from 0 to 3 come in, and classes = 3; classes >= 4 "
                                   "expected"));
  job_.data.transforms = {bucketize("value", {1, 1})};
  EXPECT_THAT(refusal(), HasSubstr("boundaries that rise from one to the next expected"));
  job_.data.transforms = {clip("value", 2, 1)};
  EXPECT_THAT(refusal(), HasSubstr("low <= high expected, 2 and 1 found"));
  job_.data.transforms = {one_hot("value", 3)};
  EXPECT_THAT(refusal(), HasSubstr("an integer column with one value a row expected"));

  job_.data.features = {"day"};
  job_.data.transforms = {made(TransformKind::kTokenDropout, "day"), one_hot("day", 7)};
  job_.data.transforms[0].unknown = -1;
  EXPECT_THAT(refusal(), HasSubstr("token_dropout puts -1 in, and classes = 7; unknown from 0 to "
                                   "6 expected"));
  job_.data.transforms.insert(job_.data.transforms.begin() + 1, hash("day", 7));
  EXPECT_EQ(refusal(), Status().to_string()) << "the hash of -1 is in range";
  job_.data.transforms = {made(TransformKind::kNoise, "day"), one_hot("day", 7)};
  EXPECT_THAT(refusal(), HasSubstr("floats found")) << "also where noise is left out";

  job_.data.features = {"both"};
  job_.data.transforms = {one_hot("day", 7), cross("both", {"day", "label"}, 10)};
  EXPECT_THAT(refusal(), HasSubstr("expected of \"day\""));
  job_.data.transforms = {cross("both", {"day", "value"}, 10)};
  EXPECT_THAT(refusal(), HasSubstr("expected of \"value\"; bucketize or hash it before"));
  job_.data.transforms = {cross("both", {"day", "vlaue"}, 10)};
  EXPECT_THAT(refusal(), HasSubstr("value"));
  job_.data.transforms = {cross("both", {"day"}, 10)};
  EXPECT_THAT(refusal(), HasSubstr("two columns or more and buckets >= 1 expected, 1 and 10"));
  job_.data.features = {"city"};
  job_.data.transforms = {cross("city", {"day", "label"}, 10)};
  EXPECT_THAT(refusal(), HasSubstr("the data set has a column of this name; expected a new one"));
}

// ---------------------------------------------------------------- random ones

TransformConfig random_shift() {
  TransformConfig transform = made(TransformKind::kRandomShift, "picture");
  transform.pixels = 1.5;
  return transform;
}
TransformConfig noise(const std::string& column) {
  TransformConfig transform = made(TransformKind::kNoise, column);
  transform.sigma = 0.5;
  return transform;
}
TransformConfig token_dropout(double rate, int64_t unknown) {
  TransformConfig transform = made(TransformKind::kTokenDropout, "words");
  transform.rate = rate;
  transform.unknown = unknown;
  return transform;
}

TEST_F(ChainTest, ARandomRowIsTheSameForWhoeverGathersItAndAnotherInEachEpoch) {
  TransformConfig rotate = made(TransformKind::kRandomRotate, "picture");
  rotate.degrees = 30;
  TransformConfig crop = made(TransformKind::kRandomCrop, "picture");
  crop.padding = 1;
  job_.data.features = {"picture", "words"};
  job_.data.transforms = {crop,
                          made(TransformKind::kRandomFlip, "picture"),
                          rotate,
                          random_shift(),
                          noise("picture"),
                          token_dropout(0.3, -1)};

  const std::vector<Floats> once = trained(1);

  EXPECT_EQ(trained(1), once) << "repeated, as after a resume";
  EXPECT_EQ(trained(1, 4), once) << "other lanes";
  EXPECT_EQ(trained(1, 4, Order::kStrip), once) << "streamed";
  EXPECT_EQ(trained(1, 2, Order::kFull, 3), once) << "more threads";
  const std::vector<Floats> later = trained(2);
  size_t changed = 0;
  for (uint32_t row = 0; row < kRows; ++row) changed += later[row] != once[row];
  EXPECT_EQ(changed, kRows);
  job_.seed = 12;
  EXPECT_NE(trained(1), once) << "another seed";
}

TEST_F(ChainTest, EvaluationLeavesRandomTransformsOutAndAppliesTheRest) {
  TransformConfig scale = made(TransformKind::kScale, "picture");
  scale.factor = 0.5;
  job_.data.features = {"picture", "words"};
  job_.data.transforms = {scale};
  const Floats plain = row_of(3);
  job_.data.transforms = {random_shift(), scale, noise("picture"), token_dropout(1, 7)};

  EXPECT_EQ(row_of(3), plain);
  EXPECT_NE(trained(0)[3], plain);
}

TEST_F(ChainTest, AFlipChangesLeftAndRightOfEveryRowOrOfNone) {
  TransformConfig flip = made(TransformKind::kRandomFlip, "picture");
  flip.probability = 1;
  job_.data.features = {"picture"};
  job_.data.transforms = {flip};

  EXPECT_THAT(trained(0)[0], ElementsAre(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
  job_.data.transforms[0].shape = {2, 2, 4};  // four channels a pixel
  EXPECT_THAT(trained(0)[0], ElementsAre(4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  job_.data.transforms[0].layout = PixelLayout::kChw;
  job_.data.transforms[0].shape = {4, 2, 2};
  EXPECT_THAT(trained(0)[0], ElementsAre(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  job_.data.transforms[0].probability = 0;
  EXPECT_EQ(trained(0)[0], row_of(0));
}

TEST_F(ChainTest, ACropMovesByWholePixelsWithinItsPadding) {
  TransformConfig crop = made(TransformKind::kRandomCrop, "picture");
  crop.padding = 1;
  crop.fill = -5;
  job_.data.features = {"picture"};
  job_.data.transforms = {crop};

  std::set<std::pair<int, int>> moves;
  const std::vector<Floats> rows = trained(0);
  for (uint32_t row = 0; row < 16; ++row) {
    bool found = false;
    for (int down = -1; down <= 1 && !found; ++down) {
      for (int right = -1; right <= 1 && !found; ++right) {
        Floats expected;
        for (int y = 0; y < 4; ++y) {
          for (int x = 0; x < 4; ++x) {
            const int fy = y + down, fx = x + right;
            const bool inside = fy >= 0 && fy < 4 && fx >= 0 && fx < 4;
            expected.push_back(inside ? static_cast<float>(16 * row) + 4.0f * fy + fx : -5);
          }
        }
        found = rows[row] == expected;
        if (found) moves.insert({down, right});
      }
    }
    EXPECT_TRUE(found) << row;
  }
  EXPECT_GE(moves.size(), 4u);
}

TEST_F(ChainTest, NoiseHasItsStandardDeviationAndDropoutItsRate) {
  job_.data.features = {"picture", "words"};
  job_.data.transforms = {noise("picture"), token_dropout(0.25, -1)};

  double sum = 0, squares = 0, dropped = 0;
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<Floats> rows = trained(epoch);
    for (uint32_t row = 0; row < kRows; ++row) {
      for (int k = 0; k < 16; ++k) {
        const double added = rows[row][k] - static_cast<uint8_t>(16 * row + k);
        sum += added;
        squares += added * added;
      }
      for (int k = 0; k < 5; ++k) {
        const float value = rows[row][16 + k];
        EXPECT_TRUE(value == -1 || value == static_cast<float>(10 * row + k));
        dropped += value == -1;
      }
    }
  }
  EXPECT_NEAR(sum / (3 * kRows * 16), 0, 0.06);                   // 5 standard errors
  EXPECT_NEAR(std::sqrt(squares / (3 * kRows * 16)), 0.5, 0.05);  // likewise
  EXPECT_NEAR(dropped / (3 * kRows * 5), 0.25, 0.09);             // likewise
}

TEST_F(ChainTest, RefusesAPictureOfAnotherSizeThanItsColumnAlsoInEvaluations) {
  job_.data.features = {"picture"};
  job_.data.transforms = {random_shift()};
  job_.data.transforms[0].shape = {4, 5};
  EXPECT_THAT(refusal(), HasSubstr("shape [4, 5] is 20 values, but the column has 16 a row"));
  job_.data.features = {"words"};
  job_.data.transforms = {made(TransformKind::kRandomFlip, "words")};
  EXPECT_THAT(refusal(), HasSubstr("shape [height, width] or three numbers with channels "
                                   "expected, [5] found"));
}

// ---------------------------------------------------------------- weights

TEST_F(ChainTest, RowsThatAFilterLeavesOutWeighNothingAndStayInTheirPlaces) {
  job_.data.features = {"day"};
  job_.data.transforms = {filter("value", Relation::kGreaterOrEqual, 0),
                          filter("day", Relation::kNotEqual, 3)};

  const Batch batch = evaluated();

  ASSERT_EQ(batch.rows, kRows);
  for (uint32_t row = 0; row < kRows; ++row) {
    const bool kept = row >= 4 && row % 7 != 3;
    EXPECT_EQ(batch.weights[row], kept ? 1 : 0) << row;
    EXPECT_EQ(batch.features[row], row % 7);
    EXPECT_EQ(batch.labels[row], kept && row % 4 == 3 ? 1 : 0);
  }
}

TEST_F(ChainTest, CountsTheRowsThatFiltersLeaveOut) {
  job_.data.features = {"day"};
  job_.data.transforms = {filter("value", Relation::kGreaterOrEqual, 0)};
  const LaneSchedule schedule(kRows, 3, 9, 1, 0, Tail::kPad);
  auto loader = BatchLoader::open(job_, schedule).value();
  const std::vector<LaneId> lanes = {LaneId(0), LaneId(1), LaneId(2)};

  for (Clock t = 0; t < schedule.steps(); ++t) ASSERT_TRUE(loader->take(lanes, t).ok());

  EXPECT_EQ(loader->counters().left_out, 4u) << "not the padding";
  EXPECT_EQ(loader->counters().rows, 45u);
}

TEST_F(ChainTest, TakesWeightsFromAColumn) {
  job_.data.features = {"day"};
  job_.data.weight = "importance";
  EXPECT_EQ(evaluated().weights[6], 1.5f);
  EXPECT_EQ(evaluated().weights[0], 0.0f);

  job_.data.weight = "value";
  EXPECT_THAT(refusal(), HasSubstr("row 0, column \"value\", value 0: a weight of 0 or more "
                                   "expected, -4 found"));
  job_.data.weight = "words";
  EXPECT_THAT(refusal(), HasSubstr("data.weight = \"words\": a column with one value a row "
                                   "expected"));
  job_.data.weight = "importence";
  EXPECT_THAT(refusal(), HasSubstr("importance"));
}

TEST_F(ChainTest, ChecksTheClassesOfAColumnThatIsAWeightToo) {
  job_.data.features = {"day"};
  job_.data.weight = "day";
  job_.data.transforms = {one_hot("day", 6)};
  EXPECT_THAT(refusal(),
              HasSubstr("column \"day\", value 0: 0 to 5 for one_hot expected, 6 found"));
  job_.data.transforms = {one_hot("day", 7)};
  EXPECT_EQ(evaluated().weights[6], 6.0f);
}

// One value that no float bears must not undo a step of good ones.
TEST_F(ChainTest, TakesWhatAFilterLeavesOutOffTheFeaturesOfTraining) {
  job_.data.features = {"value"};
  job_.data.transforms = {filter("value", Relation::kLess, 30)};

  const std::vector<Floats> rows = trained(0);

  EXPECT_THAT(rows[33], ElementsAre(29.0f));
  EXPECT_THAT(rows[34], ElementsAre(0.0f));
  EXPECT_THAT(row_of(34), ElementsAre(30.0f)) << "predictions are made of every row";
}

TEST_F(ChainTest, BalanceGivesEveryClassTheSameWeightInTrainingAlone) {
  job_.data.features = {"day"};
  job_.data.balance = Balance::kWeights;
  ASSERT_TRUE(resolve_shapes(job_).ok());
  EXPECT_THAT(job_.resolved.class_labels, ElementsAre(0, 1));
  EXPECT_THAT(job_.resolved.class_rows, ElementsAre(30, 10));

  auto loader = BatchLoader::open(job_, LaneSchedule(kRows, 1, kRows, 1)).value();
  const LaneId lane(0);
  const Batch batch = loader->take({&lane, 1}, 0).value();

  double sums[2] = {0, 0};
  for (uint32_t row = 0; row < kRows; ++row) {
    sums[static_cast<size_t>(batch.labels[row])] += batch.weights[row];
  }
  EXPECT_NEAR(sums[0], 20, 1e-4);  // 30 x 40 / (2 x 30)
  EXPECT_NEAR(sums[1], 20, 1e-4);
  EXPECT_THAT(evaluated().weights, Each(1.0f));

  job_.data.label = "day";
  EXPECT_THAT(resolve_shapes(job_).to_string(),
              HasSubstr("data.balance = \"weights\": data.label = \"day\", but data set"));
}

TEST_F(ChainTest, PaddingRepeatsTheLastRowOfALaneAndWeighsNothing) {
  job_.data.features = {"day"};
  const LaneSchedule schedule(kRows, 3, 9, 2, 0, Tail::kPad);  // 14, 13, 13 rows of 15
  auto loader = BatchLoader::open(job_, schedule).value();

  std::multiset<uint64_t> seen;
  for (Clock t = 0; t < schedule.steps_per_epoch(); ++t) {
    for (uint32_t lane = 0; lane < 3; ++lane) {
      const LaneId id(lane);
      const Batch batch = loader->take({&id, 1}, t).value();
      ASSERT_EQ(batch.rows, 3u);
      for (uint32_t i = 0; i < 3; ++i) {
        EXPECT_EQ(batch.features[i], batch.row_ids[i] % 7);
        if (batch.weights[i] == 1) {
          seen.insert(batch.row_ids[i]);
        } else {
          EXPECT_EQ(batch.weights[i], 0);
          EXPECT_EQ(batch.row_ids[i], batch.row_ids[i - 1]);
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), kRows);
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), kRows);
}

TEST_F(ChainTest, WhatATailDropsIsOtherRowsInTheNextEpoch) {
  job_.data.features = {"day"};
  const LaneSchedule schedule(kRows, 2, 14, 2, 0, Tail::kDrop);  // 28 of 40 rows
  auto loader = BatchLoader::open(job_, schedule).value();

  std::set<uint64_t> seen[2];
  for (Clock t = 0; t < schedule.steps(); ++t) {
    for (uint32_t lane = 0; lane < 2; ++lane) {
      const LaneId id(lane);
      const Batch batch = loader->take({&id, 1}, t).value();
      ASSERT_EQ(batch.rows, 7u);
      EXPECT_THAT(batch.weights, Each(1.0f));
      seen[schedule.epoch_of(t)].insert(batch.row_ids.begin(), batch.row_ids.end());
    }
  }
  EXPECT_EQ(seen[0].size(), 28u);
  EXPECT_EQ(seen[1].size(), 28u);
  EXPECT_NE(seen[0], seen[1]);
}

}  // namespace
}  // namespace ballast
