#include "worker/tool/replay_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/hash.h"
#include "common/config/job_dump.h"
#include "common/storage/checkpoint.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/order_replay.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kRows = 730;
constexpr uint32_t kLanes = 4;

class ReplayCommand : public DataFixture {
 protected:
  void SetUp() override {
    job_.data.train = write_pixels("train", kRows, 3);
    job_.data.features = {"pixels"};
    job_.data.label = "label";
    job_.data.order = Order::kStrip;
    job_.data.window = 3;
    job_.model.layers = {{.kind = LayerKind::kDense, .units = 10}};
    job_.train.mode = Mode::kAsync;
    job_.train.lanes = kLanes;
    job_.train.batch = 28;  // 27 steps; lanes 2 and 3 have no row in the last
    job_.train.epochs = 1;
    job_.resolved.train_rows = kRows;
    job_.resolved.input_width = 3;
    dataset_ = Dataset::open(job_.data.train).value();
    job_.resolved.train_manifest_xxh3 = hex64(dataset_->manifest_xxh3());
    std::filesystem::create_directories(options_.run_dir = path("run"));
    std::ofstream(path("run/config.toml")) << dump_job(job_);
  }

  // A checkpoint of one unit whose lanes stand at `marks`.
  UnitImage image_at(const std::vector<Clock>& marks) {
    OrderReplay replay = OrderReplay::open(job_, dataset_).value();
    UnitImage image;
    image.unit = UnitId(0);
    image.marks = marks;
    image.weights = Buffer::allocate(64);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      image.ledger.push_back(replay.ledgers(LaneId(lane), {marks[lane]})->begin()->second);
    }
    return image;
  }
  void commit(const UnitImage& image) {
    CheckpointManifest manifest;
    manifest.id = 9;
    manifest.mode = Mode::kAsync;
    manifest.lanes = kLanes;
    manifest.parts = {write_part(options_.run_dir, 9, 0, {image}).value()};
    ASSERT_TRUE(commit_manifest(options_.run_dir, manifest).ok());
  }

  std::string refusal() {
    const Status status = run_replay(options_, out_);
    EXPECT_FALSE(status.ok());
    return status.to_string();
  }

  JobConfig job_;
  std::shared_ptr<const Dataset> dataset_;
  ReplayOptions options_;
  std::ostringstream out_;
};

TEST_F(ReplayCommand, PrintsWhereTheRowsOfAStepAre) {
  options_.step = 7;
  options_.lane = 2;

  ASSERT_TRUE(run_replay(options_, out_).ok());

  const std::vector<uint64_t> rows = OrderReplay::open(job_, dataset_)->rows(LaneId(2), 7).value();
  EXPECT_THAT(out_.str(), HasSubstr("# step 7, in epoch 1 of 1: 7 rows of 1 lane, order strip\n"));
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowPlace place = dataset_->place(rows[i]);
    const BlockPlace block = dataset_->block(place.block);
    char line[200];
    snprintf(line, sizeof line, "    2 %6zu %12zu  %-20s %6u %12zu\n", i, size_t{rows[i]},
             dataset_->chunk_name(block.chunk).c_str(), block.index_in_chunk,
             size_t{place.row_in_block});
    EXPECT_THAT(out_.str(), HasSubstr(line));
  }
}

TEST_F(ReplayCommand, MakesADataSetOfTheRowsOfAllLanes) {
  options_.step = 26;
  options_.out = path("rows");

  ASSERT_TRUE(run_replay(options_, out_).ok());

  EXPECT_EQ(Dataset::open(path("rows")).value()->rows(), 2u) << "two lanes have a row left";
  EXPECT_THAT(out_.str(), HasSubstr("rows: step 26, in epoch 1 of 1: 2 rows of 2 lanes"));
}

TEST_F(ReplayCommand, RefusesStepsAndLanesThatAreNotInTheRun) {
  options_.step = 27;
  EXPECT_THAT(refusal(), HasSubstr("--step 27: the run " + path("run") + " has steps 0 to 26"));
  options_.step = 26;
  options_.lane = 4;
  EXPECT_THAT(refusal(), HasSubstr("--lane 4: the run " + path("run") + " has lanes 0 to 3"));
  options_.lane = 3;
  EXPECT_THAT(refusal(), HasSubstr("--step 26 --lane 3: the lane has no rows left in this step"));
}

TEST_F(ReplayCommand, RefusesOtherDataAndNamesBothHashes) {
  options_.step = 0;
  options_.data = {write_pixels("other", kRows, 3, /*classes=*/9)};
  const std::string other = hex64(Dataset::open(options_.data[0]).value()->manifest_xxh3());

  EXPECT_THAT(refusal(),
              HasSubstr("manifest " + job_.resolved.train_manifest_xxh3 + " expected by the run " +
                        path("run") + ", " + other + " found"));
}

TEST_F(ReplayCommand, TakesTheDataFromWhereItHasMoved) {
  std::filesystem::rename(path("train"), path("moved"));
  options_.step = 0;
  EXPECT_THAT(refusal(), HasSubstr("no such folder"));

  options_.data = {path("moved")};

  EXPECT_TRUE(run_replay(options_, out_).ok());
}

TEST_F(ReplayCommand, RefusesMorePlacesThanTheRunHasSets) {
  options_.step = 0;
  options_.data = {path("train"), path("moved")};

  EXPECT_THAT(refusal(), HasSubstr("data replay --data: a place for each of the 1 training sets of "
                                   "the run expected, in their order (" +
                                   path("train") + "), 2 found"));
}

TEST_F(ReplayCommand, VerifiesTheLedgersOfLanesThatStandApart) {
  const UnitImage image = image_at({3, 0, kNever, 20});
  commit(image);
  options_.verify = true;

  const Status verified = run_replay(options_, out_);

  ASSERT_TRUE(verified.ok()) << verified.to_string();
  const uint64_t sum = image.ledger[0] + image.ledger[1] + image.ledger[2] + image.ledger[3];
  EXPECT_THAT(out_.str(), HasSubstr("checkpoint 9: order ledger " + hex64(sum)));
}

TEST_F(ReplayCommand, NamesTheLaneThatWasTrainedOnOtherRows) {
  UnitImage image = image_at({3, 0, kNever, 20});
  const std::string expected = hex64(image.ledger[3]);
  image.ledger[3] += 1;
  commit(image);
  options_.verify = true;

  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("unit 0, lane 3: ledger " + expected +
                              " expected of its steps below 20, " + hex64(image.ledger[3])),
                    HasSubstr("trained on other rows")));
}

TEST_F(ReplayCommand, SaysThatACheckpointHasNoLedger) {
  UnitImage image = image_at({3, 0, kNever, 20});
  image.ledger.clear();
  commit(image);
  options_.verify = true;

  EXPECT_THAT(refusal(), HasSubstr("unit 0 has the order ledger of 0 lanes, expected 4"));
}

}  // namespace
}  // namespace ballast
