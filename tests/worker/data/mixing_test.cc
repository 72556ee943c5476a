// Several data sets as one, and samples of their rows: from folders to batches.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/batch_loader.h"
#include "worker/data/column_values.h"
#include "worker/data/manifest_edit.h"
#include "worker/data/memory_budget.h"
#include "worker/data/order_replay.h"
#include "worker/data/resolve_shapes.h"
#include "worker/data/source/joined_source.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pair;

class MixingTest : public DataFixture {
 protected:
  // 330 rows in 7 blocks and 90 in 2, of classes that occur unlike often.
  void SetUp() override {
    job_.seed = 5;
    job_.data.train = write_classes("first", 330, false);
    job_.data.mix = {{.train = write_classes("second", 90, true), .rate = 1}};
    job_.data.features = {"pixels"};
    job_.data.label = "label";
    job_.data.order = Order::kFull;
    job_.train.epochs = 3;
    job_.train.lanes = 3;
    job_.train.batch = 24;
  }

  // Label = 0 for two of three rows, else 1 or 2. A pixel tells set and row. `turned`: the label
  // comes first, and there is a column more.
  std::string write_classes(const std::string& name, uint64_t rows, bool turned) {
    DatasetWriterOptions options;
    options.block_bytes = 50 * (turned ? 10 : 7);
    options.chunk_bytes = 2 * (options.block_bytes + 4096);
    options.label = "label";
    std::vector<ColumnSpec> columns = {{"pixels", ColumnType::kU8, {3}},
                                       {"label", ColumnType::kI32, {}}};
    if (turned) columns = {columns[1], {"more", ColumnType::kU8, {3}}, columns[0]};
    auto writer = DatasetWriter::create(path(name), columns, options).value();
    std::vector<std::byte> row(writer.row_bytes());
    for (uint64_t i = 0; i < rows; ++i) {
      const auto label = static_cast<int32_t>(i % 3 == 0 ? 1 + (i / 3) % 2 : 0);
      std::byte* at = row.data();
      if (turned) at = put(at, label);
      if (turned) at = put(put(put(at, uint8_t{1}), uint8_t{2}), uint8_t{3});
      at = put(at, static_cast<uint8_t>(turned ? 1 : 0));
      at = put(put(at, static_cast<uint8_t>(i / 256)), static_cast<uint8_t>(i));
      if (!turned) put(at, label);
      EXPECT_TRUE(writer.add_row(row).ok());
    }
    EXPECT_TRUE(writer.commit().ok());
    return path(name);
  }

  // 200 rows in blocks of 20, row i with label(i).
  template <typename Label>
  std::string write_labels(const std::string& name, ColumnType type, Label label) {
    DatasetWriterOptions options;
    options.block_bytes = 20 * (3 + element_bytes(type));
    options.label = "label";
    auto writer = DatasetWriter::create(
                      path(name), {{"pixels", ColumnType::kU8, {3}}, {"label", type, {}}}, options)
                      .value();
    std::vector<std::byte> row(writer.row_bytes());
    for (uint64_t i = 0; i < 200; ++i) {
      with_type(type, [&](auto kind) {
        using Value = decltype(kind);
        if constexpr (std::is_arithmetic_v<Value>) {
          put(row.data() + 3, static_cast<Value>(label(i)));
        }
      });
      EXPECT_TRUE(writer.add_row(row).ok());
    }
    EXPECT_TRUE(writer.commit().ok());
    return path(name);
  }

  // What the rows of each label weigh together in epoch 0.
  std::map<int, float> label_weights(const JobConfig& job) {
    const LaneSchedule schedule = schedule_of(job);
    const auto loader = BatchLoader::open(job, schedule).value();
    std::map<int, float> weights;
    for (uint64_t step = 0; step < schedule.steps_per_epoch(); ++step) {
      for (uint32_t number = 0; number < job.train.lanes; ++number) {
        const LaneId lane(number);
        const Batch batch = loader->take({&lane, 1}, step).value();
        for (uint32_t i = 0; i < batch.rows; ++i) {
          weights[static_cast<int>(batch.labels[i])] += batch.weights[i];
        }
      }
    }
    return weights;
  }

  // Rows of the joined set, as often as they were taken, with their values checked.
  using Counts = std::map<uint64_t, uint32_t>;
  Counts epoch_of(const JobConfig& job, uint64_t epoch) {
    const LaneSchedule schedule = schedule_of(job);
    const auto loader = BatchLoader::open(job, schedule);
    EXPECT_TRUE(loader.ok()) << loader.status().to_string();
    OrderReplay replay = OrderReplay::open(job, open_train_sets(job.data).value()).value();
    Counts counts;
    for (uint64_t step = 0; step < schedule.steps_per_epoch(); ++step) {
      for (uint32_t number = 0; number < job.train.lanes; ++number) {
        const LaneId lane(number);
        const Clock clock = epoch * schedule.steps_per_epoch() + step;
        const Batch batch = (*loader)->take({&lane, 1}, clock).value();
        EXPECT_TRUE(std::ranges::equal(replay.rows(lane, clock).value(), batch.row_ids));
        for (uint32_t i = 0; i < batch.rows; ++i) {
          const uint64_t id = batch.row_ids[i];
          ++counts[id];
          const uint64_t row = id < 330 ? id : id - 330;
          EXPECT_EQ(batch.features[3 * i], id < 330 ? 0.0f : 1.0f);
          EXPECT_EQ(batch.features[3 * i + 1] * 256 + batch.features[3 * i + 2],
                    static_cast<float>(row));
          EXPECT_EQ(batch.labels[i], static_cast<float>(row % 3 == 0 ? 1 + (row / 3) % 2 : 0));
        }
      }
    }
    return counts;
  }

  JobConfig resolved(Order order) {
    JobConfig job = job_;
    job.data.order = order;
    job.data.window = order == Order::kStrip ? 3 : 0;
    const Status status = resolve_shapes(job);
    EXPECT_TRUE(status.ok()) << status.to_string();
    return job;
  }

  [[nodiscard]] Status refusal() const {
    JobConfig job = job_;
    return resolve_shapes(job);
  }

  JobConfig job_;
};

TEST_F(MixingTest, JoinsSetsWhoseColumnsStandInAnotherOrder) {
  const auto dataset = open_train_sets(job_.data).value();

  EXPECT_EQ(dataset->rows(), 420u);
  EXPECT_EQ(dataset->columns().size(), 2u) << "what both have";
  EXPECT_EQ(dataset->folder(), path("first") + " + " + path("second"));
  EXPECT_THAT(dataset->row_name(329), AllOf(HasSubstr(path("first")), HasSubstr("row 29")));
  EXPECT_THAT(dataset->row_name(330), AllOf(HasSubstr(path("second")), HasSubstr("row 0")));
  EXPECT_EQ(dataset->part_of(6), 0u);
  EXPECT_EQ(dataset->part_of(7), 1u);
}

TEST_F(MixingTest, NamesTheContentOfAllSetsInTheirOrder) {
  const uint64_t joined = open_train_sets(job_.data).value()->manifest_xxh3();
  DataConfig turned = job_.data;
  std::swap(turned.train, turned.mix[0].train);

  EXPECT_NE(joined, open_train_sets(turned).value()->manifest_xxh3());
  EXPECT_NE(joined, Dataset::open(job_.data.train).value()->manifest_xxh3());
}

TEST_F(MixingTest, TakesEachRowOfAllSetsOnceWithoutRates) {
  for (const Order order : {Order::kFull, Order::kNone, Order::kStrip}) {
    const JobConfig job = resolved(order);
    const Counts counts = epoch_of(job, 1);
    EXPECT_EQ(counts.size(), 420u);
    for (const auto& [row, count] : counts) ASSERT_EQ(count, 1u);
  }
}

TEST_F(MixingTest, StreamedAndHeldRowsAreTheSameOnes) {
  struct Case {
    double rate;
    double mixed;
    Balance balance;
    uint64_t samples;
  };
  // 280 rows of class 0, 70 of each of the others.
  for (const Case& each :
       {Case{0.5, 3, Balance::kNone, 165 + 270}, Case{1, 1, Balance::kOversample, 3 * 280},
        Case{1, 1, Balance::kUndersample, 3 * 70}, Case{2, 0.5, Balance::kOversample, 3 * 470}}) {
    job_.data.rate = each.rate;
    job_.data.mix[0].rate = each.mixed;
    job_.data.balance = each.balance;
    for (uint64_t epoch : {0, 2}) {
      const Counts streamed = epoch_of(resolved(Order::kStrip), epoch);
      uint64_t sum = 0;
      for (const auto& [row, count] : streamed) sum += count;

      EXPECT_EQ(sum, each.samples);
      EXPECT_EQ(epoch_of(resolved(Order::kFull), epoch), streamed);
    }
  }
}

TEST_F(MixingTest, ClassWeightsGoByTheSamplesOfAnEpoch) {
  job_.data.rate = 2;
  job_.data.balance = Balance::kWeights;

  const JobConfig job = resolved(Order::kFull);

  // Of the first set 220, 55, 55 rows, of the second 60, 15, 15.
  EXPECT_EQ(job.resolved.class_rows, (std::vector<double>{500, 125, 125}));
  EXPECT_DOUBLE_EQ(training_use(job).class_weights.at(0), 750.0 / 3 / 500);
}

TEST_F(MixingTest, ResolvesTheSamplesOfAnEpochAndOfABlock) {
  job_.data.rate = 2.5;

  const JobConfig job = resolved(Order::kStrip);

  EXPECT_EQ(job.resolved.train_rows, 420u);
  EXPECT_EQ(job.resolved.epoch_samples, 825u + 90);
  EXPECT_EQ(job.resolved.train_block_rows, 50u);
  EXPECT_EQ(job.resolved.train_block_samples, 125u);
  EXPECT_EQ(schedule_of(job).rows(), 915u);
}

TEST_F(MixingTest, RandomTransformsDrawAnewForEachTimeARowIsTaken) {
  job_.data.mix.clear();
  job_.data.rate = 3;
  job_.data.transforms.resize(1);
  job_.data.transforms[0].kind = TransformKind::kNoise;
  job_.data.transforms[0].column = "pixels";
  job_.data.transforms[0].sigma = 0.1;
  std::map<uint64_t, std::set<float>> drawn[2];
  for (int streams : {0, 1}) {
    const JobConfig job = resolved(streams == 1 ? Order::kStrip : Order::kFull);
    const LaneSchedule schedule = schedule_of(job);
    const auto loader = BatchLoader::open(job, schedule).value();
    for (uint64_t step = 0; step < schedule.steps_per_epoch(); ++step) {
      for (uint32_t number = 0; number < job.train.lanes; ++number) {
        const LaneId lane(number);
        const Batch batch = loader->take({&lane, 1}, step).value();
        for (uint32_t i = 0; i < batch.rows; ++i) {
          drawn[streams][batch.row_ids[i]].insert(batch.features[3 * i]);
        }
      }
    }
    for (const auto& [row, values] : drawn[streams]) ASSERT_EQ(values.size(), 3u);
  }
  EXPECT_EQ(drawn[0], drawn[1]);
}

TEST_F(MixingTest, ColumnsThatSetsLackInSomeChunksHaveTheirDefault) {
  ColumnSpec added{.name = "more", .type = ColumnType::kU8, .shape = {3}};
  added.default_value = 9;
  ASSERT_TRUE(add_column(job_.data.train, added).ok());
  job_.data.features = {"more"};
  job_.data.order = Order::kNone;
  const JobConfig job = resolved(Order::kNone);
  const auto loader = BatchLoader::open(job, schedule_of(job)).value();
  const LaneId lane(0);

  EXPECT_EQ(loader->take({&lane, 1}, 0)->features[0], 9.0f);
  const Batch last = loader->take({&lane, 1}, 16).value();
  EXPECT_GT(last.row_ids[0], 330u);
  EXPECT_EQ(last.features[1], 2.0f);
}

TEST_F(MixingTest, RefusesAColumnOfAnotherTypeAndNamesBothFolders) {
  job_.data.mix[0].train = write_pixels("wide", 60, 4);

  EXPECT_EQ(exit_code(refusal()), 2);
  EXPECT_THAT(refusal().to_string(),
              AllOf(HasSubstr("the same type and shape"), HasSubstr(path("first")),
                    HasSubstr("pixels u8 [3] in " + path("wide")), HasSubstr("u8 [4] found")));
}

TEST_F(MixingTest, RefusesAColumnThatASetLacksAndSaysHowToAddIt) {
  job_.data.features = {"pixels", "more"};

  EXPECT_EQ(exit_code(refusal()), 2);
  EXPECT_THAT(refusal().to_string(),
              HasSubstr("\"more\" is in " + path("second") + ", " + path("first") +
                        " has none; add it there with `ballast data add-column`"));
}

TEST_F(MixingTest, RefusesSetsWithTwoDefaultsForRowsThatLackAColumn) {
  ColumnSpec added{.name = "late", .type = ColumnType::kF32, .shape = {}};
  added.default_value = 1;
  ASSERT_TRUE(add_column(path("first"), added).ok());
  added.default_value = 2;
  ASSERT_TRUE(add_column(path("second"), added).ok());
  job_.data.features = {"pixels", "late"};

  EXPECT_EQ(exit_code(refusal()), 2);
  EXPECT_THAT(refusal().to_string(),
              HasSubstr("\"late\" has 1 in " + path("first") + " and 2 in " + path("second")));
}

TEST_F(MixingTest, RefusesToBalanceWhatOneOfTheSetsDoesNotCount) {
  job_.data.balance = Balance::kOversample;
  job_.data.mix[0].train = write_floats("uncounted", {1, 2, 3}, 3);
  job_.data.features = {"label"};

  EXPECT_EQ(exit_code(refusal()), 2);
  EXPECT_THAT(refusal().to_string(),
              HasSubstr("data.balance = \"oversample\": data.label = \"label\", but data set " +
                        path("uncounted") + " counts the values of \"\"; convert it with --label"));
}

TEST_F(MixingTest, BalancesClassesWhoseLabelsAreNegative) {
  job_.data.mix.clear();
  // 3 rows of 4 have the label 4, the others -1 or -70000.
  const auto label = [](uint64_t i) { return i % 4 < 3 ? 4 : i % 8 == 3 ? -1 : -70000; };
  for (const ColumnType type : {ColumnType::kI32, ColumnType::kI64}) {
    job_.data.train = write_labels(fmt::format("negative-{}", column_type_name(type)), type, label);
    for (const Order order : {Order::kFull, Order::kStrip}) {
      job_.data.balance = Balance::kOversample;
      EXPECT_THAT(label_weights(resolved(order)),
                  ElementsAre(Pair(-70000, 150), Pair(-1, 150), Pair(4, 150)));
      job_.data.balance = Balance::kUndersample;
      EXPECT_THAT(label_weights(resolved(order)),
                  ElementsAre(Pair(-70000, 25), Pair(-1, 25), Pair(4, 25)));
      job_.data.balance = Balance::kWeights;
      const float share = 200.0f / 3;
      EXPECT_THAT(label_weights(resolved(order)),
                  ElementsAre(Pair(-70000, FloatNear(share, 1e-3f)),
                              Pair(-1, FloatNear(share, 1e-3f)), Pair(4, FloatNear(share, 1e-3f))));
    }
  }
}

TEST_F(MixingTest, AFilterByTheLabelTakesClassesAwayAndLeavesTheOthersEqual) {
  job_.data.mix.clear();
  job_.data.train = write_labels("filtered", ColumnType::kI32, [](uint64_t i) {
    return i % 10 < 7 ? 1 : i % 10 < 9 ? 2 : 3;
  });
  job_.data.balance = Balance::kOversample;
  job_.data.transforms.resize(1);
  job_.data.transforms[0].kind = TransformKind::kFilter;
  job_.data.transforms[0].column = "label";
  job_.data.transforms[0].relation = Relation::kNotEqual;
  job_.data.transforms[0].value = 2;

  const JobConfig job = resolved(Order::kFull);

  EXPECT_EQ(job.resolved.epoch_samples, 3 * 140u) << "those taken away count as rows";
  EXPECT_THAT(label_weights(job), ElementsAre(Pair(0, 0), Pair(1, 140), Pair(3, 140)));
}

TEST_F(MixingTest, RefusesToBalanceLabelsThatAreNoWholeNumbers) {
  job_.data.mix.clear();
  job_.data.train = write_labels("halves", ColumnType::kF32, [](uint64_t i) { return i % 2; });
  for (const Balance balance : {Balance::kWeights, Balance::kOversample, Balance::kUndersample}) {
    job_.data.balance = balance;

    EXPECT_EQ(exit_code(refusal()), 2);
    EXPECT_THAT(refusal().to_string(),
                HasSubstr("a label of whole numbers, one a row, expected, data set " +
                          path("halves") + " has label f32 []; convert it with --label-type i32"));
  }
}

TEST_F(MixingTest, RefusesToBalanceLabelsThatNumbersWithFractionsWouldMixUp) {
  job_.data.mix.clear();
  const int64_t large = (int64_t{1} << 53) + 1;
  job_.data.train =
      write_labels("large", ColumnType::kI64, [=](uint64_t i) { return i == 70 ? -large : 0; });
  job_.data.balance = Balance::kWeights;

  EXPECT_EQ(exit_code(refusal()), 2);
  EXPECT_THAT(
      refusal().to_string(),
      HasSubstr("data.balance = \"weights\": labels from -2^53 to 2^53 expected, data set " +
                path("large") + " has label = -9007199254740993"));
}

TEST_F(MixingTest, RefusesAnEmptySetAndNamesIt) {
  job_.data.mix[0].train = write_pixels("empty", 0, 3);

  EXPECT_THAT(refusal().to_string(),
              HasSubstr("data set " + path("empty") + ": at least one row expected"));
}

TEST_F(MixingTest, NamesTheFolderOfADamagedBlock) {
  const auto second = Dataset::open(path("second")).value();
  flip_bit(second->chunk_path(0), 4096 + 10);
  for (const Order order : {Order::kFull, Order::kStrip}) {
    const JobConfig job = resolved(order);
    const auto loader = BatchLoader::open(job, schedule_of(job));
    Status status = loader.status();
    for (Clock clock = 0; status.ok() && clock < 18; ++clock) {
      const LaneId lanes[] = {LaneId(0), LaneId(1), LaneId(2)};
      status = (*loader)->take(lanes, clock).status();
    }

    EXPECT_EQ(status.code(), Code::kDataLoss);
    EXPECT_THAT(status.to_string(), HasSubstr(second->chunk_path(0)));
  }
}

TEST_F(MixingTest, CountsTheRowsOfResampledBlocksInTheMemorySum) {
  const LoaderMemory once =
      loader_memory(resolved(Order::kStrip), schedule_of(resolved(Order::kStrip)));
  job_.data.rate = 100;
  const JobConfig job = resolved(Order::kStrip);

  const LoaderMemory hundred = loader_memory(job, schedule_of(job));

  // In each of 3 lanes 3 pieces of up to 5,000 samples: a row and a pass.
  EXPECT_GE(hundred.order_bytes, once.order_bytes + 3 * 3 * 4900 * 8);
}

TEST_F(MixingTest, ReadsTheObjectsOfEachPartThroughItsOwnSource) {
  const auto source = open_train_source(job_.data, {}).value();
  const auto dataset = open_train_sets(job_.data).value();
  const auto second = Dataset::open(path("second")).value();
  const uint32_t chunk = static_cast<uint32_t>(dataset->manifest().chunks.size()) - 1;
  const std::string object = dataset->chunk_name(chunk);

  EXPECT_EQ(object,
            JoinedSource::object_of(1, second->chunk_name(second->manifest().chunks.size() - 1)));
  EXPECT_EQ(source->name_of(object), dataset->chunk_path(chunk));
  EXPECT_EQ(source->size_of(object).value(), dataset->manifest().chunks[chunk].bytes);
  std::byte magic[8];
  ASSERT_TRUE(source->read_now(object, 0, magic).ok());
  EXPECT_EQ(std::memcmp(magic, "BLSTchnk", 8), 0);
  EXPECT_FALSE(source->is_remote());
  EXPECT_EQ(source->size_of("0/nothing.blc").status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ballast
