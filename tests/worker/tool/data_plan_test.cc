#include "worker/tool/data_plan.h"

#include <gmock/gmock.h>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class DataPlanTest : public DataFixture {
 protected:
  // 1,000 rows in 20 blocks of 50; lanes of 5 blocks.
  void SetUp() override {
    job_.data.train = write_pixels("d", 1000, 16);
    job_.data.features = {"pixels"};
    job_.data.label = "label";
    job_.data.order = Order::kStrip;
    job_.data.window = 4;
    job_.train.lanes = 4;
    job_.train.batch = 100;
    job_.model.layers = {{.kind = LayerKind::kDense, .units = 10}};
    const Status status = resolve_shapes(job_);
    ASSERT_TRUE(status.ok()) << status.to_string();
  }
  [[nodiscard]] DataPlan plan() const {
    const auto train = Dataset::open(job_.data.train).value();
    return plan_data(job_, *train, BlockSampling::open(job_.data, job_.seed, *train).value());
  }

  JobConfig job_;
};

TEST_F(DataPlanTest, CountsEveryBlockOfAStreamedEpochAndThoseReadTwice) {
  const DataPlan streamed = plan();

  // Wrapping around reads a window less one block again in each lane.
  EXPECT_EQ(streamed.epoch_requests, 20u + 4 * 3);
  EXPECT_EQ(streamed.epoch_bytes, 32u * 4096);
  EXPECT_NEAR(streamed.bytes_per_sample, 32 * 4096 / 1000.0, 1e-9);
  EXPECT_GT(streamed.blocks_per_batch, 15.9);
  EXPECT_LE(streamed.blocks_per_batch, 16.0);
  EXPECT_GT(streamed.stored_bytes, 20u * 4096);
}

TEST_F(DataPlanTest, ReadsOnceWhatIsHeldInMemory) {
  job_.data.order = Order::kFull;

  const DataPlan held = plan();

  EXPECT_EQ(held.epoch_bytes, 0u);
  EXPECT_EQ(held.first_epoch_bytes, 1000u * (16 + 4));
  EXPECT_NEAR(held.blocks_per_batch, 19.9, 0.1);
}

TEST_F(DataPlanTest, TakesTheRateOfARunThatHasEnded) {
  write_text("summary.json", "{\n  \"samples_per_second\": 1234.5,\n  \"steps\": 3}\n");

  EXPECT_EQ(measured_rate(root_).value(), 1234.5);
  EXPECT_THAT(measured_rate(path("none")).status().to_string(), HasSubstr("a run that has ended"));
  write_text("summary.json", "{}");
  EXPECT_THAT(measured_rate(root_).status().to_string(), HasSubstr("samples_per_second above 0"));
}

}  // namespace
}  // namespace ballast
