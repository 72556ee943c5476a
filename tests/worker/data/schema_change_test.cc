// Data sets that change while they stand: columns added and dropped, rows appended.
#include <gmock/gmock.h>
#include <sys/file.h>

#include <thread>

#include "tests/worker/data/kinds_fixture.h"
#include "tests/worker/data/taken_rows.h"
#include "worker/data/block_store.h"
#include "worker/data/examine.h"
#include "worker/data/manifest_edit.h"
#include "worker/data/memory_table.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SchemaChangeTest : public KindsFixture {
 protected:
  Status append_kinds(const std::string& name, uint64_t first, uint64_t end, Codec codec) {
    DatasetWriterOptions options = kinds_options(codec);
    options.append = true;
    return try_kinds(name, first, end, options);
  }
};

TEST_F(SchemaChangeTest, AddsAColumnOfItsDefaultAndDropsOne) {
  for (const Codec codec : {Codec::kNone, Codec::kZstd}) {
    const std::string folder = write_kinds(std::string(codec_name(codec)), 100, codec);
    const auto before = Dataset::open(folder).value();

    ASSERT_TRUE(add_column(folder, {"weight", ColumnType::kF16, {2}, false, 1.5}).ok());
    ASSERT_TRUE(add_column(folder, {"tags", ColumnType::kI64, {}, true}).ok());
    ASSERT_TRUE(drop_column(folder, "score").ok());

    const ColumnValues values = ContainerReader(folder).read();
    EXPECT_EQ(values.size(), kinds().size() + 1);
    EXPECT_FALSE(values.contains("score"));
    EXPECT_EQ(values.at("weight")[99], (RowValues{1.5, 1.5}));
    EXPECT_EQ(values.at("tags")[99], RowValues{});
    EXPECT_EQ(values.at("when")[99], row_values(99)["when"]);
    EXPECT_TRUE(verify_dataset(folder).empty());
    const auto after = Dataset::open(folder).value();
    EXPECT_NE(after->manifest_xxh3(), before->manifest_xxh3());
    EXPECT_EQ(after->chunk_path(0), before->chunk_path(0));
    EXPECT_THAT(head_text(*after, 1, 4).value(),
                AllOf(HasSubstr("weight: 1.5 1.5\n"), HasSubstr("tags: []\n")));
  }
}

TEST_F(SchemaChangeTest, FillsDefaultsForJobsInMemoryAndStreamed) {
  const std::string folder = write_pixels("d", 120, 8);
  ASSERT_TRUE(add_column(folder, {"bonus", ColumnType::kI32, {}, false, -3}).ok());
  const auto dataset = Dataset::open(folder).value();
  DataConfig job;
  job.features = {"bonus", "pixels"};
  job.label = "label";
  const RowPlan plan = plan_rows(*dataset, job).value();

  const auto table = MemoryTable::load(dataset, plan, 1).value();
  TakenRows rows(1, plan);
  rows.ids = {11};
  table->read(0, rows.room());
  EXPECT_EQ(rows.features[0], -3);
  EXPECT_EQ(rows.features[2], static_cast<float>(static_cast<uint8_t>(11 * 7 + 1)));
  EXPECT_EQ(rows.labels[0], 1);

  const auto store = BlockStore::open(dataset, plan, open_source(folder, {}).value(), 1).value();
  const std::shared_ptr<const Block> block = store->get(2).value();
  int32_t bonus = 0;
  std::memcpy(&bonus, block->column(0) + 19 * sizeof bonus, sizeof bonus);
  EXPECT_EQ(bonus, -3);
}

TEST_F(SchemaChangeTest, ForgetsTheOldValuesOfADroppedName) {
  const std::string folder = write_kinds("d", 50, Codec::kNone);
  ASSERT_TRUE(drop_column(folder, "score").ok());
  ASSERT_TRUE(add_column(folder, {"score", ColumnType::kF32, {}, false, 9}).ok());

  EXPECT_EQ(ContainerReader(folder).read().at("score")[49], RowValues{9});
  EXPECT_TRUE(verify_dataset(folder).empty());
}

TEST_F(SchemaChangeTest, ForgetsTheHistogramOfADroppedLabel) {
  const std::string folder = write_kinds("d", 50, Codec::kNone);
  ASSERT_TRUE(drop_column(folder, "label").ok());

  const auto dataset = Dataset::open(folder).value();
  EXPECT_EQ(dataset->manifest().label, "");
  EXPECT_TRUE(count_labels(*dataset).value().empty());
}

TEST_F(SchemaChangeTest, RefusesColumnsThatCannotBe) {
  const std::string folder = write_pixels("d", 10, 4);
  const auto message = [](const Status& status) {
    EXPECT_EQ(exit_code(status), 2);
    return status.to_string();
  };

  EXPECT_THAT(
      message(add_column(folder, {"label", ColumnType::kF32, {}})),
      AllOf(HasSubstr("column \"label\" is there already"), HasSubstr("data set " + folder)));
  EXPECT_THAT(message(add_column(folder, {"a", ColumnType::kU8, {}, false, 256})),
              HasSubstr("default 256 is not a value of u8"));
  EXPECT_THAT(message(add_column(folder, {"a", ColumnType::kI64, {}, false, 0.5})),
              HasSubstr("default 0.5 is not a value of i64"));
  EXPECT_THAT(message(add_column(folder, {"a", ColumnType::kF16, {}, false, 1e6})),
              HasSubstr("is not a value of f16"));
  EXPECT_THAT(message(add_column(folder, {"a", ColumnType::kI32, {}, true, 1})),
              HasSubstr("lists are empty where chunks lack them"));
  EXPECT_THAT(message(drop_column(folder, "pixel")),
              AllOf(HasSubstr("no column \"pixel\""), HasSubstr("pixels u8 [4]")));
  ASSERT_TRUE(drop_column(folder, "label").ok());
  EXPECT_THAT(message(drop_column(folder, "pixels")), HasSubstr("is the last one"));
  EXPECT_EQ(add_column(path("nowhere"), {"a", ColumnType::kU8, {}}).code(), Code::kNotFound);
}

TEST_F(SchemaChangeTest, AppendsInAnotherCodecWhileAReaderKeepsItsRows) {
  const std::string folder = write_kinds("d", 100, Codec::kNone);
  const auto reading = Dataset::open(folder).value();

  ASSERT_TRUE(append_kinds("d", 100, 170, Codec::kZstd).ok());
  ASSERT_TRUE(append_kinds("d", 170, 200, Codec::kLz4).ok());

  expect_kinds(folder, 200);
  EXPECT_TRUE(verify_dataset(folder).empty());
  EXPECT_EQ(reading->rows(), 100u);
  EXPECT_TRUE(verify_chunks(*reading).empty());
  EXPECT_EQ(Dataset::open(folder).value()->manifest().layouts.size(), 1u) << "tables all alike";
}

TEST_F(SchemaChangeTest, AppendsToADataSetThatGotAColumn) {
  const std::string folder = write_pixels("d", 60, 4);
  ASSERT_TRUE(add_column(folder, {"more", ColumnType::kU8, {}, false, 5}).ok());
  DatasetWriterOptions options;
  options.append = true;
  options.label = "label";
  auto writer = DatasetWriter::create(folder,
                                      {{"pixels", ColumnType::kU8, {4}},
                                       {"label", ColumnType::kI32, {}},
                                       {"more", ColumnType::kU8, {}}},
                                      options)
                    .value();
  ASSERT_TRUE(writer.add_row(std::vector<std::byte>(9, std::byte{7})).ok());
  ASSERT_TRUE(writer.commit().ok());

  const ColumnValues values = ContainerReader(folder).read();
  EXPECT_EQ(values.at("more")[59], RowValues{5});
  EXPECT_EQ(values.at("more")[60], RowValues{7});
  EXPECT_EQ(values.at("pixels")[59][1], static_cast<uint8_t>(59 * 7 + 1));
}

TEST_F(SchemaChangeTest, AppendsNothingThatDoesNotFit) {
  const std::string folder = write_pixels("d", 10, 4);
  const std::vector<std::byte> before = read_file(folder + "/manifest");
  DatasetWriterOptions options;
  options.append = true;
  options.label = "label";
  const auto refusal = [&](const std::string& where, std::vector<ColumnSpec> columns) {
    return DatasetWriter::create(where, std::move(columns), options).status();
  };

  EXPECT_THAT(refusal(folder, {{"pixels", ColumnType::kU8, {5}}, {"label", ColumnType::kI32, {}}})
                  .to_string(),
              AllOf(HasSubstr("append to data set " + folder),
                    HasSubstr("pixels u8 [4]; label i32 [] expected"),
                    HasSubstr("pixels u8 [5]; label i32 [] found")));
  options.label = "";
  EXPECT_THAT(refusal(folder, {{"pixels", ColumnType::kU8, {4}}, {"label", ColumnType::kI32, {}}})
                  .to_string(),
              HasSubstr("the label column \"label\" expected, \"\" found"));
  EXPECT_EQ(refusal(path("none"), {{"x", ColumnType::kU8, {}}}).code(), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path("none")));
  EXPECT_EQ(read_file(folder + "/manifest"), before);
}

TEST_F(SchemaChangeTest, TakesInAllWhoAppendAtATime) {
  const std::string folder = write_kinds("d", 10, Codec::kNone);
  constexpr int kWriters = 4;
  std::vector<Status> outcomes(kWriters);
  {
    std::vector<std::jthread> writers;
    for (int w = 0; w < kWriters; ++w) {
      writers.emplace_back([&, w] {
        const auto first = static_cast<uint64_t>(10 + 10 * w);
        outcomes[w] = append_kinds("d", first, first + 10, Codec::kNone);
      });
    }
  }

  for (const Status& outcome : outcomes) EXPECT_TRUE(outcome.ok()) << outcome.to_string();
  const ColumnValues values = ContainerReader(folder).read();
  std::set<double> scores;
  for (const RowValues& row : values.at("score")) scores.insert(row[0]);
  EXPECT_EQ(scores.size(), 10u * (kWriters + 1));
}

TEST_F(SchemaChangeTest, WaitsForWhoeverHoldsTheFolder) {
  const std::string folder = write_kinds("d", 10, Codec::kNone);
  auto held = std::make_unique<FolderLock>(FolderLock::take(folder).value());
  Status outcome(Code::kInternal, "not yet");
  {
    std::jthread writer([&] { outcome = append_kinds("d", 10, 20, Codec::kNone); });
    EXPECT_EQ(Dataset::open(folder).value()->rows(), 10u);
    held.reset();
  }

  EXPECT_TRUE(outcome.ok()) << outcome.to_string();
  EXPECT_EQ(Dataset::open(folder).value()->rows(), 20u);
}

TEST_F(SchemaChangeTest, TellsWhenAnotherWriterRemovedAChunk) {
  DatasetWriterOptions options = kinds_options(Codec::kNone);
  options.block_bytes = 1;  // a block for each row, so that chunks are closed before the end
  options.chunk_bytes = 1;
  auto writer = DatasetWriter::create(path("d"), kinds(), options).value();
  ASSERT_TRUE(writer.add_row(row_bytes(0)).ok());
  ASSERT_EQ(writer.manifest().chunks.size(), 1u);
  std::filesystem::remove(path("d") + "/" + hex64(writer.manifest().chunks[0].footer_xxh3) +
                          ".blc");

  const Status status = writer.commit();

  EXPECT_EQ(status.code(), Code::kConflict);
  EXPECT_THAT(status.to_string(), HasSubstr("it was removed or changed while rows were written"));
}

TEST_F(SchemaChangeTest, LetsOnlyOneOfTwoWritersMakeANewDataSet) {
  auto first = DatasetWriter::create(path("d"), kinds(), kinds_options(Codec::kNone)).value();
  auto second = DatasetWriter::create(path("d"), kinds(), kinds_options(Codec::kNone)).value();
  ASSERT_TRUE(first.add_row(row_bytes(0)).ok());
  ASSERT_TRUE(second.add_row(row_bytes(1)).ok());

  EXPECT_TRUE(first.commit().ok());
  EXPECT_THAT(second.commit().to_string(), HasSubstr("already holds a data set"));
  EXPECT_EQ(Dataset::open(path("d")).value()->rows(), 1u);
}

// Lists, a dropped column and an added one, without codecs: every byte is ours.
TEST_F(SchemaChangeTest, IsByteForByteTheGoldenFiles) {
  const std::string written = write_kinds("golden", 12, Codec::kNone);
  ASSERT_TRUE(drop_column(written, "score").ok());
  ASSERT_TRUE(add_column(written, {"weight", ColumnType::kF32, {}, false, 0.5}).ok());

  size_t files = 0;
  for (const auto& kept : std::filesystem::directory_iterator(BALLAST_TEST_DATA "/golden_lists")) {
    const std::string name = kept.path().filename();
    EXPECT_EQ(read_file(written + "/" + name), read_file(kept.path())) << name;
    ++files;
  }
  EXPECT_EQ(files, 2u);
  const ColumnValues values = ContainerReader(BALLAST_TEST_DATA "/golden_lists").read();
  EXPECT_EQ(values.at("words")[11], row_values(11)["words"]);
  EXPECT_EQ(values.at("weight")[11], RowValues{0.5});
}

}  // namespace
}  // namespace ballast
