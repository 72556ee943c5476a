// Who makes which batch: loader threads, and the taker that would sleep else.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/batch_loader.h"

namespace ballast {
namespace {

constexpr uint64_t kRows = 730;

// Streamed rows, with what a test says of them, and who reads them.
class WatchedRows final : public RowSource {
 public:
  struct Watch {
    bool is_at_hand = false;
    bool waits_for_help = false;  // the first read, until another begins
    std::mutex mutex;
    std::condition_variable begun;
    uint64_t reads = 0;      // that have begun
    uint64_t by_caller = 0;  // of them
    uint64_t now = 0, at_once = 0;
    std::thread::id caller = std::this_thread::get_id();
  };

  WatchedRows(std::unique_ptr<RowSource> rows, Watch& watch)
      : rows_(std::move(rows)), watch_(watch) {}
  Status read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) override {
    {
      std::unique_lock lock(watch_.mutex);
      const bool first_read = watch_.reads++ == 0;
      watch_.by_caller += std::this_thread::get_id() == watch_.caller ? 1 : 0;
      watch_.at_once = std::max(watch_.at_once, ++watch_.now);
      watch_.begun.notify_all();
      if (first_read && watch_.waits_for_help) {
        EXPECT_TRUE(watch_.begun.wait_for(lock, std::chrono::seconds(30),
                                          [this] { return watch_.reads > 1; }));
      }
    }
    const Status status = rows_->read(epoch, lane, first, room);
    std::lock_guard lock(watch_.mutex);
    --watch_.now;
    return status;
  }
  void forget(LaneId lane) override { rows_->forget(lane); }
  void stop() override { rows_->stop(); }
  [[nodiscard]] bool in_memory() const override { return false; }
  [[nodiscard]] bool one_place_a_lane() const override { return true; }
  [[nodiscard]] bool at_hand(uint64_t, LaneId, uint64_t, uint64_t) override {
    return watch_.is_at_hand;
  }
  [[nodiscard]] const RowPlan& plan() const override { return rows_->plan(); }
  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const override {
    return rows_->dataset();
  }

 private:
  std::unique_ptr<RowSource> rows_;
  Watch& watch_;
};

class WatchedLoaderTest : public DataFixture {
 protected:
  // One lane's epoch of 10 batches, each asked for when its reading has begun.
  void take_all(uint32_t threads) {
    JobConfig job;
    job.data.train = write_pixels("train", kRows, 33);
    job.data.features = {"pixels"};
    job.data.label = "label";
    job.data.order = Order::kFull;
    job.data.threads = threads;
    const LaneSchedule schedule(kRows, 1, kRows / 10, 1);
    const LaneId lane(0);
    auto loader = BatchLoader::open(job, schedule, [this](std::unique_ptr<RowSource> rows) {
      return std::make_unique<WatchedRows>(std::move(rows), watch_);
    });
    ASSERT_TRUE(loader.ok()) << loader.status().to_string();
    (*loader)->follow(std::span(&lane, 1), 0);
    for (uint64_t step = 0; step < 10; ++step) {
      {
        std::unique_lock lock(watch_.mutex);
        ASSERT_TRUE(watch_.begun.wait_for(lock, std::chrono::seconds(30),
                                          [&] { return watch_.reads > step; }));
      }
      ASSERT_TRUE((*loader)->take(std::span(&lane, 1), step).ok());
    }
  }

  WatchedRows::Watch watch_;
};

TEST_F(WatchedLoaderTest, ATakerThatWaitsMakesTheNextBatchIfItsRowsAreAtHand) {
  watch_.is_at_hand = watch_.waits_for_help = true;

  take_all(1);

  EXPECT_GE(watch_.by_caller, 1u);
  EXPECT_EQ(watch_.reads, 10u);
}

TEST_F(WatchedLoaderTest, ATakerNeverMakesABatchThatMightWaitForADisk) {
  take_all(1);

  EXPECT_EQ(watch_.by_caller, 0u);
}

TEST_F(WatchedLoaderTest, ThreadsReadALaneOneAfterAnotherUnlessItsRowsAreAtHand) {
  take_all(4);

  EXPECT_EQ(watch_.at_once, 1u);
}

TEST_F(WatchedLoaderTest, ThreadsReadALaneTogetherWhereItsRowsAreAtHand) {
  watch_.is_at_hand = watch_.waits_for_help = true;

  take_all(4);

  EXPECT_GE(watch_.at_once, 2u);
}

}  // namespace
}  // namespace ballast
