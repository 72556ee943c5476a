// FedRows against the same rows read locally, with real feeders on threads behind real sockets.
#include "worker/feed/fed_rows.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "common/base/process.h"
#include "common/net/zeromq_transport.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/batch_loader.h"
#include "worker/data/open_rows.h"
#include "worker/data/resolve_shapes.h"
#include "worker/feed/feed_setup.h"

namespace ballast {
namespace {

constexpr uint32_t kWidth = 33;
constexpr uint64_t kRows = 1230;  // 25 blocks of 50, the last one short

// A feeder on a thread of its own.
class RunningFeeder {
 public:
  RunningFeeder(const JobConfig& job, uint32_t index, const std::string& endpoint) {
    const LaneSchedule schedule = schedule_of(job);
    rows_ = open_rows(job, schedule, feeder_rows_memory(job)).value();
    feeder_ = std::make_unique<Feeder>(feeder_setup(job, *rows_), *rows_);
    std::atomic<bool> listens = false;
    thread_ = std::thread([this, index, endpoint, &listens] {
      const auto transport = make_zeromq_transport({Role::kFeeder, index, new_incarnation()});
      EXPECT_TRUE(transport->bind(endpoint).ok());
      listens = true;
      listens.notify_one();
      feeder_->run(*transport);
    });
    listens.wait(false);
  }
  ~RunningFeeder() {
    feeder_->stop();
    thread_.join();
  }
  [[nodiscard]] FeederCounters counters() const { return feeder_->counters(); }

 private:
  std::unique_ptr<RowSource> rows_;
  std::unique_ptr<Feeder> feeder_;
  std::thread thread_;
};

struct Stream {
  std::vector<std::vector<std::byte>> batches;
  FedCounts counts;
};

class FedRowsTest : public DataFixture {
 protected:
  void SetUp() override {
    job_.seed = 7;
    job_.data.train = write_pixels("train", kRows, kWidth);
    job_.data.features = {"pixels"};
    job_.data.label = "label";
    job_.data.order = Order::kStrip;
    job_.data.window = 4;
    TransformConfig& scale = job_.data.transforms.emplace_back();
    scale.column = "pixels";
    scale.factor = 0.5;
    TransformConfig& noise = job_.data.transforms.emplace_back();
    noise.kind = TransformKind::kNoise;
    noise.column = "pixels";
    noise.sigma = 1;
    TransformConfig& filter = job_.data.transforms.emplace_back();
    filter.kind = TransformKind::kFilter;
    filter.column = "label";
    filter.relation = Relation::kLess;
    filter.value = 5;
    job_.train.lanes = 3;
    job_.train.batch = 24;
    job_.train.epochs = 3;
    ASSERT_TRUE(resolve_shapes(job_).ok());
  }

  [[nodiscard]] std::string endpoint(uint32_t index) const {
    return "ipc://" + path("feeder-" + std::to_string(index));
  }

  static std::vector<std::byte> bytes_of(const Batch& batch) {
    std::vector<std::byte> bytes;
    const auto add = [&](auto span) {
      const auto raw = std::as_bytes(span);
      bytes.insert(bytes.end(), raw.begin(), raw.end());
    };
    add(batch.row_ids);
    add(batch.features);
    add(batch.stored_features);
    add(batch.labels);
    add(batch.weights);
    return bytes;
  }

  // All batches of the job. `between` is called before each step.
  Stream stream(uint32_t feeders, const std::function<void(Clock)>& between = nullptr) {
    const LaneSchedule schedule = schedule_of(job_);
    FedRows* fed = nullptr;
    const WrapRows wrap = [&](std::unique_ptr<RowSource> local) {
      JobConfig asked = job_;
      asked.cluster.feeders = feeders;
      FedRowsSetup setup = fed_rows_setup(asked, WorkerId(0), *local);
      for (uint32_t i = 0; i < feeders; ++i) setup.endpoints[i] = endpoint(i);
      auto rows = std::make_unique<FedRows>(std::move(local), std::move(setup));
      fed = rows.get();
      return rows;
    };
    const auto loader = BatchLoader::open(job_, schedule, feeders > 0 ? wrap : nullptr).value();
    std::vector<LaneId> lanes;
    for (uint32_t lane = 0; lane < job_.train.lanes; ++lane) lanes.emplace_back(lane);
    loader->follow(lanes, 0);
    Stream found;
    for (Clock clock = 0; clock < schedule.steps(); ++clock) {
      if (between != nullptr) between(clock);
      for (LaneId lane : lanes) {
        const Result<Batch> batch = loader->take(std::span(&lane, 1), clock);
        EXPECT_TRUE(batch.ok()) << batch.status().to_string();
        if (batch.ok()) found.batches.push_back(bytes_of(*batch));
      }
    }
    if (fed != nullptr) found.counts = fed->counts();
    return found;
  }

  [[nodiscard]] JobConfig with_feeders(uint32_t feeders) const {
    JobConfig job = job_;
    job.cluster.feeders = feeders;
    return job;
  }

  std::unique_ptr<RunningFeeder> start(uint32_t index, uint32_t feeders) {
    return std::make_unique<RunningFeeder>(with_feeders(feeders), index, endpoint(index));
  }

  JobConfig job_;
};

TEST_F(FedRowsTest, GivesTheSameBatchesWithAnyNumberOfFeedersInEveryOrder) {
  for (const Order order : {Order::kStrip, Order::kFull, Order::kNone}) {
    job_.data.order = order;
    const Stream alone = stream(0);
    for (const uint32_t feeders : {1, 2, 5}) {
      SCOPED_TRACE(feeders);
      std::vector<std::unique_ptr<RunningFeeder>> running;
      for (uint32_t i = 0; i < feeders; ++i) running.push_back(start(i, feeders));

      const Stream fed = stream(feeders);

      EXPECT_EQ(fed.batches, alone.batches);
      EXPECT_EQ(fed.counts.rows_fed + fed.counts.rows_local, 3 * kRows);
      EXPECT_GT(fed.counts.rows_fed, 0u);
    }
  }
}

TEST_F(FedRowsTest, BringsFeaturesAsTheyAreStored) {
  job_.data.transforms.resize(1);  // scale alone
  ASSERT_TRUE(resolve_shapes(job_).ok());
  const uint64_t floats = worker_portions(with_feeders(2)).portion_bytes;
  job_.cluster.device = Device::kCuda;
  ASSERT_TRUE(resolve_shapes(job_).ok());
  ASSERT_EQ(job_.resolved.stored_bytes, kWidth);
  EXPECT_LT(2 * worker_portions(with_feeders(2)).portion_bytes, floats);
  const Stream alone = stream(0);
  const auto first = start(0, 2), second = start(1, 2);

  const Stream fed = stream(2);

  EXPECT_EQ(fed.batches, alone.batches);
  EXPECT_GT(fed.counts.rows_fed, 0u);
}

TEST_F(FedRowsTest, GivesTheSameBatchesWhileFeedersDieAndComeBack) {
  job_.train.epochs = 6;
  const Stream alone = stream(0);
  std::vector<std::unique_ptr<RunningFeeder>> running(2);
  for (uint32_t i = 0; i < 2; ++i) running[i] = start(i, 2);

  const Stream fed = stream(2, [&](Clock clock) {
    if (clock % 40 == 10) running[clock / 40 % 2].reset();
    if (clock % 40 == 25) running[clock / 40 % 2] = start(clock / 40 % 2, 2);
    if (clock == 200) running[0].reset(), running[1].reset();  // all of them
    if (clock == 230) running[0] = start(0, 2);
  });

  EXPECT_EQ(fed.batches, alone.batches);
  EXPECT_GT(fed.counts.rows_fed, 0u);
}

TEST_F(FedRowsTest, ReadsLocallyWhenNoFeederEverComes) {
  const Stream alone = stream(0);

  const Stream fed = stream(2);

  EXPECT_EQ(fed.batches, alone.batches);
  EXPECT_EQ(fed.counts.rows_fed, 0u);
  EXPECT_EQ(fed.counts.rows_local, 3 * kRows);
}

TEST_F(FedRowsTest, TakesNothingFromAFeederWithOtherData) {
  const Stream alone = stream(0);
  JobConfig other = job_;
  other.cluster.feeders = 1;
  other.data.train = write_pixels("other", kRows, kWidth, 9);
  ASSERT_TRUE(resolve_shapes(other).ok());
  const RunningFeeder foreign(other, 0, endpoint(0));

  const Stream fed = stream(1);

  EXPECT_EQ(fed.batches, alone.batches);
  EXPECT_EQ(fed.counts.rows_fed, 0u);
  EXPECT_GT(foreign.counters().refused, 0u);
  EXPECT_EQ(foreign.counters().portions, 0u);
}

TEST_F(FedRowsTest, EndsAtOnceWhileAReaderWaits) {
  const LaneSchedule schedule = schedule_of(job_);
  job_.cluster.feeders = 1;
  auto local = open_rows(job_, schedule, loader_memory(job_, schedule)).value();
  FedRowsSetup setup = fed_rows_setup(job_, WorkerId(0), *local);
  setup.endpoints[0] = endpoint(0);
  setup.client.first_feeder = 3600s;  // the reader would wait for ever
  FedRows rows(std::move(local), std::move(setup));
  std::thread reader([&] {
    std::vector<uint64_t> ids(8);
    std::vector<float> features(8 * kWidth), labels(8), weights(8);
    const Status status = rows.read(
        0, LaneId(0), 0,
        {ids, std::as_writable_bytes(std::span(features)).data(), labels.data(), weights.data()});
    EXPECT_EQ(status.code(), Code::kStopped);
  });

  rows.stop();
  reader.join();
}

}  // namespace
}  // namespace ballast
