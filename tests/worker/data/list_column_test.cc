// Columns of lists: stored, verified, examined, and taken by a model through pad and multi_hot.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "tests/worker/data/kinds_fixture.h"
#include "tests/worker/data/taken_rows.h"
#include "worker/data/batch_loader.h"
#include "worker/data/block_store.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/examine.h"
#include "worker/data/list_rows.h"
#include "worker/data/memory_table.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ListColumnTest : public KindsFixture {
 protected:
  ListColumnTest() {
    job_.features = {"words", "boxes", "score"};
    job_.label = "label";
    TransformConfig counts;
    counts.kind = TransformKind::kMultiHot;
    counts.column = "words";
    counts.classes = 7;
    TransformConfig pad;
    pad.kind = TransformKind::kPad;
    pad.column = "boxes";
    pad.items = 1;
    pad.fill = -1;
    job_.transforms = {counts, pad};
  }

  // features[rows, 7 counts + 2 padded + 1 score] as row_values() has them.
  static std::vector<float> expected_features(uint64_t rows) {
    std::vector<float> features;
    for (uint64_t i = 0; i < rows; ++i) {
      auto row = row_values(i);
      std::vector<float> counts(7);
      for (const double word : row["words"]) counts[static_cast<size_t>(word)] += 1;
      features.insert(features.end(), counts.begin(), counts.end());
      for (size_t k = 0; k < 2; ++k) {
        features.push_back(row["boxes"].empty() ? -1.0f : static_cast<float>(row["boxes"][k]));
      }
      features.push_back(static_cast<float>(row["score"][0]));
    }
    return features;
  }

  [[nodiscard]] Status plan_status(const std::string& folder) const {
    const auto dataset = Dataset::open(folder).value();
    const auto plan = plan_rows(*dataset, job_);
    return plan.ok() ? Status() : plan.status();
  }

  DataConfig job_;
};

TEST_F(ListColumnTest, GivesTheSameRowsFromMemoryAndFromStreamedBlocksInAnyCodec) {
  for (const Codec codec : {Codec::kNone, Codec::kLz4, Codec::kZstd}) {
    const std::shared_ptr<const Dataset> dataset =
        Dataset::open(write_kinds(std::string(codec_name(codec)), 300, codec)).value();
    const RowPlan plan = plan_rows(*dataset, job_).value();
    ASSERT_EQ(plan.width, 10u);

    const auto table = MemoryTable::load(dataset, plan, 2).value();
    TakenRows all(300, plan);
    table->read(0, all.room());
    EXPECT_EQ(all.features, expected_features(300)) << codec_name(codec);
    EXPECT_EQ(all.labels[7], 1.0f);

    const auto store =
        BlockStore::open(dataset, plan, open_source(dataset->folder(), {}).value(), 2).value();
    std::vector<float> streamed;
    for (uint64_t b = 0; b < dataset->block_count(); ++b) {
      const std::shared_ptr<const Block> block = store->get(b).value();
      const uint64_t count = block->place().stored.rows;
      TakenRows rows(count, plan);
      rows.gather(plan, *block);
      streamed.insert(streamed.end(), rows.features.begin(), rows.features.end());
    }
    EXPECT_EQ(streamed, all.features) << codec_name(codec);
  }
}

TEST_F(ListColumnTest, PadsBeforeItScales) {
  const auto dataset = Dataset::open(write_kinds("d", 6, Codec::kNone)).value();
  TransformConfig pad;
  pad.kind = TransformKind::kPad;
  pad.column = "words";
  pad.items = 3;
  pad.fill = 10;
  TransformConfig scale;
  scale.column = "words";
  scale.factor = 2;
  job_.features = {"words"};
  job_.transforms = {pad, scale};
  const RowPlan plan = plan_rows(*dataset, job_).value();

  const auto table = MemoryTable::load(dataset, plan, 1).value();
  TakenRows rows(2, plan);
  rows.ids = {2, 3};
  table->read(0, rows.room());

  EXPECT_EQ(rows.features, (std::vector<float>{4, 6, 20, 20, 20, 20}));
}

TEST_F(ListColumnTest, PadsBeforeWholeNumbersGoOn) {
  const auto dataset = Dataset::open(write_kinds("d", 6, Codec::kNone)).value();
  TransformConfig pad;
  pad.kind = TransformKind::kPad;
  pad.column = "words";
  pad.items = 3;
  pad.fill = 10;
  TransformConfig clip;
  clip.kind = TransformKind::kClip;
  clip.column = "words";
  clip.low = 0;
  clip.high = 2;
  job_.features = {"words"};
  job_.transforms = {pad, clip};
  const RowPlan plan = plan_rows(*dataset, job_).value();
  ASSERT_TRUE(plan.features[0].from_ints);

  const auto table = MemoryTable::load(dataset, plan, 1).value();
  TakenRows rows(2, plan);
  rows.ids = {2, 3};
  table->read(0, rows.room());

  EXPECT_EQ(rows.features, (std::vector<float>{2, 2, 2, 2, 2, 2}));
}

TEST_F(ListColumnTest, MakesOneHotOfTheFirstItemOfAList) {
  const auto dataset = Dataset::open(write_kinds("d", 6, Codec::kNone)).value();
  TransformConfig pad;
  pad.kind = TransformKind::kPad;
  pad.column = "words";
  pad.items = 1;
  pad.fill = 7;
  TransformConfig one_hot;
  one_hot.kind = TransformKind::kOneHot;
  one_hot.column = "words";
  one_hot.classes = 7;
  job_.features = {"words"};
  job_.transforms = {pad, one_hot};
  EXPECT_THAT(plan_rows(*dataset, job_).status().to_string(),
              HasSubstr("pad puts 7 in, and classes = 7; fill from 0 to 6 expected"));
  job_.transforms[0].fill = 0;
  const RowPlan plan = plan_rows(*dataset, job_).value();

  const auto table = MemoryTable::load(dataset, plan, 1).value();
  TakenRows rows(1, plan);
  rows.ids = {2};
  table->read(0, rows.room());

  EXPECT_EQ(rows.features, (std::vector<float>{0, 0, 1, 0, 0, 0, 0}));
}

TEST_F(ListColumnTest, IsRefusedWithoutATransformThatMakesItFixed) {
  const std::string folder = write_kinds("d", 10, Codec::kNone);
  job_.transforms.clear();
  EXPECT_EQ(exit_code(plan_status(folder)), 2);
  EXPECT_THAT(plan_status(folder).to_string(),
              AllOf(HasSubstr("column words i32 [], lists: a model takes as many values"),
                    HasSubstr("\"pad\" or \"multi_hot\"")));

  TransformConfig scale;
  scale.column = "words";
  job_.transforms = {scale};
  EXPECT_THAT(plan_status(folder).to_string(), HasSubstr("give it a transform \"pad\" before"));
}

TEST_F(ListColumnTest, RefusesTransformsOfListsForOtherColumns) {
  const std::string folder = write_kinds("d", 10, Codec::kNone);
  job_.features = {"boxes"};
  job_.transforms[0].column = "boxes";
  EXPECT_THAT(plan_status(folder).to_string(), HasSubstr("a column of lists of integers expected"));
  job_.features = {"score"};
  job_.transforms = {job_.transforms[1]};
  job_.transforms[0].column = "score";
  EXPECT_THAT(plan_status(folder).to_string(), HasSubstr("a column of lists expected, score"));
}

TEST_F(ListColumnTest, NamesTheRowAndItemOfAClassThatIsOutside) {
  const std::string folder = write_kinds("d", 300, Codec::kZstd);
  job_.transforms[0].classes = 6;
  const auto dataset = Dataset::open(folder).value();
  const RowPlan plan = plan_rows(*dataset, job_).value();

  const auto table = MemoryTable::load(dataset, plan, 1);

  // Row 5 is the first with a 6: its words are 5 and 6.
  EXPECT_EQ(exit_code(table.status()), 2);
  EXPECT_THAT(table.status().to_string(),
              HasSubstr("block 0, row 5, column \"words\", value 1: 0 to 5 for multi_hot expected, "
                        "6 found"));
}

class SparseRowsTest : public DataFixture {
 protected:
  // Row i: i % 4 ids from 0 to 4, some twice, each with the value i + k / 4; row `longer` has one
  // value more.
  std::string write_sparse(uint64_t rows, uint64_t longer, ColumnType value_type) {
    DatasetWriterOptions options;
    options.block_bytes = 2000;
    options.codecs = {{"values", Codec::kZstd}};
    auto writer = DatasetWriter::create(path("sparse"),
                                        {{"ids", ColumnType::kI64, {}, true},
                                         {"values", value_type, {}, true},
                                         {"pairs", ColumnType::kF32, {2}, true}},
                                        options)
                      .value();
    for (uint64_t i = 0; i < rows; ++i) {
      std::vector<std::byte> row(200);
      const auto count = static_cast<uint32_t>(i % 4);
      const uint32_t values = count + (i == longer ? 1 : 0);
      std::byte* at = put(row.data(), count);
      for (uint32_t k = 0; k < count; ++k) at = put(at, id_of(i, k));
      at = put(at, values);
      for (uint32_t k = 0; k < values; ++k) {
        at = value_type == ColumnType::kF32 ? put(at, value_of(i, k))
                                            : put(at, static_cast<uint8_t>(value_of(i, k)));
      }
      at = put(at, uint32_t{0});
      row.resize(static_cast<size_t>(at - row.data()));
      EXPECT_TRUE(writer.add_row(row).ok());
    }
    EXPECT_TRUE(writer.commit().ok());
    return path("sparse");
  }
  static int64_t id_of(uint64_t row, uint32_t k) { return static_cast<int64_t>((row + k * k) % 5); }
  static float value_of(uint64_t row, uint32_t k) {
    return static_cast<float>(row % 64) + static_cast<float>(k) / 4;
  }

  static DataConfig sums(const std::string& values = "values") {
    DataConfig job;
    job.features = {"ids"};
    TransformConfig sums;
    sums.kind = TransformKind::kMultiHot;
    sums.column = "ids";
    sums.classes = 5;
    sums.values = values;
    job.transforms = {sums};
    return job;
  }

  static Status streamed(const std::shared_ptr<const Dataset>& dataset, const RowPlan& plan,
                         std::vector<float>& features) {
    const auto store =
        BlockStore::open(dataset, plan, open_source(dataset->folder(), {}).value(), 2).value();
    for (uint64_t b = 0; b < dataset->block_count(); ++b) {
      BALLAST_ASSIGN(const std::shared_ptr<const Block> block, store->get(b));
      TakenRows rows(block->place().stored.rows, plan);
      rows.gather(plan, *block);
      features.insert(features.end(), rows.features.begin(), rows.features.end());
    }
    return {};
  }
};

constexpr uint64_t kNone = ~uint64_t{0};

TEST_F(SparseRowsTest, AddsTheValuesOfOneListAtTheIdsOfAnother) {
  for (const ColumnType type : {ColumnType::kF32, ColumnType::kU8}) {
    std::filesystem::remove_all(path("sparse"));
    const std::shared_ptr<const Dataset> dataset =
        Dataset::open(write_sparse(300, kNone, type)).value();
    const RowPlan plan = plan_rows(*dataset, sums()).value();
    std::vector<float> expected(300 * 5);
    for (uint64_t i = 0; i < 300; ++i) {
      for (uint32_t k = 0; k < i % 4; ++k) {
        const float value = value_of(i, k);
        expected[i * 5 + static_cast<uint64_t>(id_of(i, k))] +=
            type == ColumnType::kF32 ? value : std::floor(value);
      }
    }

    const auto table = MemoryTable::load(dataset, plan, 2).value();
    TakenRows all(300, plan);
    table->read(0, all.room());
    std::vector<float> from_blocks;
    ASSERT_TRUE(streamed(dataset, plan, from_blocks).ok());

    EXPECT_EQ(all.features, expected);
    EXPECT_EQ(from_blocks, expected);
  }
}

TEST_F(SparseRowsTest, NamesTheFirstRowWhoseListsDifferInLength) {
  const std::shared_ptr<const Dataset> dataset =
      Dataset::open(write_sparse(300, 222, ColumnType::kF32)).value();
  const RowPlan plan = plan_rows(*dataset, sums()).value();
  const std::string expected =
      dataset->row_name(222) +
      ": multi_hot of \"ids\" takes as many values of \"values\": 2 expected, 3 found";

  const Status held = MemoryTable::load(dataset, plan, 1).status();
  std::vector<float> features;
  const Status read = streamed(dataset, plan, features);

  for (const Status& status : {held, read}) {
    EXPECT_EQ(exit_code(status), 2);
    EXPECT_THAT(status.to_string(), HasSubstr(expected));
  }
  // Who takes only one of both does not mind.
  EXPECT_TRUE(MemoryTable::load(dataset, plan_rows(*dataset, sums("")).value(), 1).ok());
}

TEST_F(SparseRowsTest, RefusesColumnsThatAreNoListsOfNumbers) {
  const auto dataset = Dataset::open(write_sparse(10, kNone, ColumnType::kF32)).value();
  const auto message = [&](const std::string& values) {
    return plan_rows(*dataset, sums(values)).status().to_string();
  };
  EXPECT_THAT(message("value"), HasSubstr("value"));
  EXPECT_EQ(exit_code(plan_rows(*dataset, sums("value")).status()), 2);
  EXPECT_THAT(
      message("pairs"),
      HasSubstr("values = \"pairs\": a column of lists of numbers expected, pairs f32 [2]"));

  const auto kinds = Dataset::open(write_pixels("fixed", 10, 3)).value();
  DataConfig job = sums("pixels");
  EXPECT_FALSE(plan_rows(*kinds, job).ok());
}

TEST_F(SparseRowsTest, RefusesAValueThatIsNotFinite) {
  const std::string folder = path("nan");
  {
    auto writer =
        DatasetWriter::create(
            folder, {{"ids", ColumnType::kI32, {}, true}, {"values", ColumnType::kF32, {}, true}},
            {})
            .value();
    std::vector<std::byte> row(16);
    std::byte* at = put(row.data(), uint32_t{1});
    at = put(at, int32_t{3});
    at = put(at, uint32_t{1});
    put(at, std::nanf(""));
    ASSERT_TRUE(writer.add_row(row).ok());
    ASSERT_TRUE(writer.commit().ok());
  }
  const auto dataset = Dataset::open(folder).value();

  const Status status = MemoryTable::load(dataset, plan_rows(*dataset, sums()).value(), 1).status();

  EXPECT_THAT(status.to_string(),
              HasSubstr("row 0, column \"values\", value 0: a finite number expected, nan found"));
}

TEST_F(ListColumnTest, AreShownInBrackets) {
  const auto dataset = Dataset::open(write_kinds("d", 10, Codec::kLz4)).value();

  const std::string text = head_text(*dataset, 3, 64).value();

  EXPECT_THAT(text, HasSubstr("words: [2 3]\n"));
  EXPECT_THAT(text, HasSubstr("words: []\n"));
  EXPECT_THAT(text, HasSubstr("boxes: [0.25 1.25]\n"));
  const auto statistics = measure_columns(*dataset).value();
  EXPECT_EQ(statistics[4].all.max, 1.25);
  EXPECT_EQ(statistics_text(statistics, "label", {}).find("column = \"words\""), std::string::npos);
}

TEST_F(ListColumnTest, CountTowardsTheMemoryThatIsPlanned) {
  const auto dataset = Dataset::open(write_kinds("d", 300, Codec::kZstd)).value();
  const RowPlan plan = plan_rows(*dataset, job_).value();

  uint64_t words = 0;
  for (uint64_t i = 0; i < 300; ++i) words += row_values(i)["words"].size();
  EXPECT_EQ(dataset->list_bytes(3), words * sizeof(int32_t));
  // 16 bytes for each list, the items' mean, 4 for the score and 4 for the label.
  const uint64_t boxes = dataset->list_bytes(4);
  EXPECT_EQ(MemoryTable::row_bytes(*dataset, plan),
            16 + (words * 4 + 299) / 300 + 16 + (boxes + 299) / 300 + 4 + 4);
  // A slot holds the block as stored and decoded.
  EXPECT_GT(BlockStore::slot_bytes(*dataset, plan), 4096u);
}

TEST_F(ListColumnTest, KeepsABlockForARowThatIsLargerThanOne) {
  DatasetWriterOptions options;
  options.block_bytes = 100;
  auto writer =
      DatasetWriter::create(path("d"), {{"x", ColumnType::kU8, {}, true}}, options).value();
  for (const uint32_t count : {10u, 1000u, 10u}) {
    std::vector<std::byte> row(sizeof count + count);
    std::memcpy(row.data(), &count, sizeof count);
    ASSERT_TRUE(writer.add_row(row).ok());
  }
  ASSERT_TRUE(writer.commit().ok());

  const ColumnValues values = ContainerReader(path("d")).read();
  EXPECT_EQ(Dataset::open(path("d")).value()->block_count(), 3u);
  EXPECT_EQ(values.at("x")[1].size(), 1000u);
}

// Offsets of four rows over six items of 4 bytes.
template <typename Offset>
Status point_four(const std::vector<Offset>& offsets) {
  const std::vector<std::byte> items(24);
  std::vector<ListRow> rows(offsets.size() - 1);
  return point_lists(std::as_bytes(std::span(offsets)), items, 4, rows, "column \"x\"");
}

TEST(ListRows, TakeOffsetsOfFourAndOfEightBytes) {
  EXPECT_TRUE(point_four<uint32_t>({0, 2, 2, 5, 6}).ok());
  EXPECT_TRUE(point_four<uint64_t>({0, 2, 2, 5, 6}).ok());
}

TEST(ListRows, RefuseOffsetsThatFallOrLeaveTheItems) {
  const auto message = [](const Status& status) {
    EXPECT_EQ(status.code(), Code::kDataLoss);
    return status.to_string();
  };
  EXPECT_EQ(message(point_four<uint32_t>({1, 2, 2, 5, 6})),
            "column \"x\": offset 0: 0 expected, 1 found");
  EXPECT_EQ(message(point_four<uint32_t>({0, 3, 2, 5, 6})),
            "column \"x\": offset 2: 3 to 6 expected, 2 found");
  EXPECT_EQ(message(point_four<uint64_t>({0, 2, 2, 5, 7})),
            "column \"x\": offset 4: 5 to 6 expected, 7 found");
  EXPECT_EQ(message(point_four<uint32_t>({0, 2, 2, 5, 5})),
            "column \"x\": offset 4: all 6 items expected, 5 found");
  EXPECT_EQ(message(point_four<uint64_t>({0, ~0ull, 2, 5, 6})),
            "column \"x\": offset 1: 0 to 6 expected, 18446744073709551615 found");
}

}  // namespace
}  // namespace ballast
