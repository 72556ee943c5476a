// Features that stay as they are stored: the floats that a device makes of them are those that the
// loader would have made.
#include <gmock/gmock.h>

#include <cstring>

#include "common/base/half.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/batch_loader.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

constexpr uint64_t kRows = 331;

class StoredFeaturesTest : public DataFixture {
 protected:
  // Columns of u8: "pixels" [9], "flag"; of f16: "halves" [4] with -0 among them, "half"; "number"
  // f32 and "label" i32.
  void SetUp() override {
    DatasetWriterOptions options;
    options.block_bytes = 2000;
    options.label = "label";
    auto writer = DatasetWriter::create(path("train"),
                                        {{"pixels", ColumnType::kU8, {9}},
                                         {"flag", ColumnType::kU8, {}},
                                         {"halves", ColumnType::kF16, {4}},
                                         {"half", ColumnType::kF16, {}},
                                         {"number", ColumnType::kF32, {}},
                                         {"label", ColumnType::kI32, {}}},
                                        options);
    ASSERT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> row(writer->row_bytes());
    for (uint64_t i = 0; i < kRows; ++i) {
      std::byte* at = row.data();
      for (uint32_t k = 0; k < 10; ++k) at = put(at, static_cast<uint8_t>(i * 31 + k * 17));
      for (uint32_t k = 0; k < 5; ++k) {
        at = put(at, k == i % 5 ? uint16_t{0x8000}
                                : float_to_half(0.37f * static_cast<float>(i) - 50.0f));
      }
      at = put(at, static_cast<float>(i));
      at = put(at, static_cast<int32_t>(i % 10));
      ASSERT_TRUE(writer->add_row(row).ok());
    }
    ASSERT_TRUE(writer->commit().ok());
  }

  JobConfig job(std::vector<std::string> features, Device device) {
    JobConfig job;
    job.data.train = path("train");
    job.data.features = std::move(features);
    job.data.label = "label";
    job.data.transforms = transforms_;
    job.data.order = order_;
    job.data.window = 3;
    job.train.lanes = 2;
    job.train.batch = 32;
    job.cluster.device = device;
    const Status resolved = resolve_shapes(job);
    EXPECT_TRUE(resolved.ok()) << resolved.to_string();
    return job;
  }

  TransformConfig& transform(TransformKind kind, const std::string& column) {
    TransformConfig& added = transforms_.emplace_back();
    added.kind = kind;
    added.column = column;
    return added;
  }

  static std::vector<Batch> batches_of(const JobConfig& job, BatchLoader& loader) {
    std::vector<Batch> batches;
    const LaneSchedule schedule = schedule_of(job);
    for (Clock clock = 0; clock < schedule.steps_per_epoch(); ++clock) {
      for (const LaneId lane : {LaneId(0), LaneId(1)}) {
        auto batch = loader.take(std::span(&lane, 1), clock);
        EXPECT_TRUE(batch.ok()) << batch.status().to_string();
        if (batch.ok()) batches.push_back(std::move(*batch));
      }
    }
    return batches;
  }

  // As a device does (Backend::convert).
  static std::vector<float> floats_of(const Batch& batch, const StoredFeatures& how) {
    std::vector<float> floats;
    const size_t count = batch.stored_features.size() / bytes_of(how.type);
    for (size_t i = 0; i < count; ++i) {
      uint16_t half = 0;
      std::memcpy(&half, batch.stored_features.data() + i * bytes_of(how.type), bytes_of(how.type));
      float value = how.type == StoredType::kU8 ? static_cast<float>(half) : half_to_float(half);
      if (!how.center.empty()) {
        const size_t at = how.center.size() == 1 ? 0 : i % batch.width;
        value = (value - how.center[at]) * how.factor[at] + how.shift[at];
      }
      floats.push_back(value);
    }
    return floats;
  }

  void expect_the_same_floats(const std::vector<std::string>& features, StoredType type) {
    const JobConfig as_floats = job(features, Device::kCpu);
    const JobConfig as_stored = job(features, Device::kCuda);
    const auto floats = BatchLoader::open(as_floats, schedule_of(as_floats)).value();
    const auto stored = BatchLoader::open(as_stored, schedule_of(as_stored)).value();
    EXPECT_EQ(floats->stored(), nullptr);
    ASSERT_NE(stored->stored(), nullptr);
    const StoredFeatures& how = *stored->stored();
    EXPECT_EQ(how.type, type);
    EXPECT_EQ(as_stored.resolved.stored_bytes, stored->width() * bytes_of(type));
    EXPECT_LT(stored->memory().batch_bytes, floats->memory().batch_bytes);

    const std::vector<Batch> expected = batches_of(as_floats, *floats);
    const std::vector<Batch> found = batches_of(as_stored, *stored);

    ASSERT_EQ(found.size(), expected.size());
    for (size_t b = 0; b < found.size(); ++b) {
      EXPECT_TRUE(found[b].features.empty());
      EXPECT_TRUE(expected[b].stored_features.empty());
      ASSERT_TRUE(std::ranges::equal(found[b].row_ids, expected[b].row_ids));
      ASSERT_TRUE(std::ranges::equal(found[b].labels, expected[b].labels));
      ASSERT_TRUE(std::ranges::equal(found[b].weights, expected[b].weights));
      const std::vector<float> made = floats_of(found[b], how);
      ASSERT_EQ(made.size(), expected[b].features.size());
      const uint32_t width = found[b].width;
      for (uint32_t row = 0; row < found[b].rows; ++row) {
        ASSERT_EQ(std::memcmp(made.data() + row * width, expected[b].features.data() + row * width,
                              width * sizeof(float)),
                  0)
            << "batch " << b << ", row " << row;
      }
    }
  }

  std::vector<TransformConfig> transforms_;
  Order order_ = Order::kFull;
};

TEST_F(StoredFeaturesTest, OfOneColumnAsItIs) {
  for (const Order order : {Order::kFull, Order::kStrip, Order::kNone}) {
    order_ = order;
    expect_the_same_floats({"pixels"}, StoredType::kU8);
    expect_the_same_floats({"halves"}, StoredType::kF16);
  }
}

TEST_F(StoredFeaturesTest, OfSeveralColumnsScaledAlikeEachOrNot) {
  transform(TransformKind::kScale, "pixels").factor = 1 / 255.0;
  expect_the_same_floats({"pixels"}, StoredType::kU8);
  expect_the_same_floats({"flag", "pixels"}, StoredType::kU8);
  transforms_.clear();
  TransformConfig& standardize = transform(TransformKind::kStandardize, "halves");
  standardize.mean = {1, -2, 3.5, 0};
  standardize.std = {0.5, 3, 7, 11};
  expect_the_same_floats({"halves"}, StoredType::kF16);
  expect_the_same_floats({"halves", "half"}, StoredType::kF16);  // -0 of "half" stays -0
}

// Whole numbers are one value for one class, types may not be mixed, what a transform draws is of
// the loader, and a row that weighs nothing has no features.
TEST_F(StoredFeaturesTest, AreFloatsWhereMoreIsMadeOfThem) {
  const auto expect_floats = [&](const std::vector<std::string>& features) {
    const JobConfig config = job(features, Device::kCuda);
    EXPECT_EQ(config.resolved.stored_bytes, 0u);
    const auto loader = BatchLoader::open(config, schedule_of(config)).value();
    EXPECT_EQ(loader->stored(), nullptr);
    const Batch batch = loader->take(std::vector{LaneId(0)}, 0).value();
    EXPECT_EQ(batch.features.size(), size_t{batch.rows} * loader->width());
    EXPECT_TRUE(batch.stored_features.empty());
  };
  expect_floats({"pixels", "half"});
  expect_floats({"half", "number"});
  expect_floats({"number"});
  transform(TransformKind::kOneHot, "flag").classes = 256;
  expect_floats({"flag"});
  expect_floats({"pixels", "flag"});
  transforms_.clear();
  transform(TransformKind::kNoise, "half").sigma = 1;
  expect_floats({"half"});
  transforms_.clear();
  TransformConfig& filter = transform(TransformKind::kFilter, "label");
  filter.relation = Relation::kLess;
  filter.value = 7;
  expect_floats({"pixels"});
}

}  // namespace
}  // namespace ballast
