// Blocks are there before they are asked for, also where a lane goes back.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/resolve_shapes.h"
#include "worker/data/source/local_source.h"
#include "worker/data/stream_rows.h"

namespace ballast {
namespace {

constexpr uint32_t kWidth = 33;
constexpr uint32_t kBlockRows = 20;
constexpr uint64_t kBlocks = 60;
constexpr uint64_t kRows = kBlocks * kBlockRows;
constexpr uint32_t kWindow = 4;
constexpr uint32_t kSlots = kWindow + StreamRows::kBlocksAhead;
constexpr LaneId kLane(0);

// A folder that says when all that was asked for is there.
class WatchedFolder final : public Source {
 public:
  struct Watch {
    std::mutex mutex;
    std::condition_variable settled;
    int reading = 0;
  };

  WatchedFolder(const std::string& folder, Watch& watch) : folder_(folder), watch_(watch) {}
  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override {
    {
      std::lock_guard lock(watch_.mutex);
      ++watch_.reading;
    }
    folder_.read(object, offset, into, [&watch = watch_, done = std::move(done)](Status status) {
      done(std::move(status));
      std::lock_guard lock(watch.mutex);
      --watch.reading;
      watch.settled.notify_all();
    });
  }
  Result<uint64_t> size_of(const std::string& object) override { return folder_.size_of(object); }
  [[nodiscard]] bool is_remote() const override { return false; }
  [[nodiscard]] std::string name_of(const std::string& object) const override {
    return folder_.name_of(object);
  }

 private:
  LocalSource folder_;
  Watch& watch_;
};

class StreamAheadTest : public DataFixture {
 protected:
  void SetUp() override { folder_ = write_pixels("train", kRows, kWidth, 10, kBlockRows); }

  void open(uint32_t slots_to_keep) {
    stream_ = nullptr;
    const auto dataset = open_filled_dataset(folder_).value();
    DataConfig config;
    config.features = {"pixels"};
    config.label = "label";
    RowPlan plan = plan_rows(*dataset, config).value();
    auto store = BlockStore::open(dataset, plan, std::make_unique<WatchedFolder>(folder_, watch_),
                                  kSlots, slots_to_keep)
                     .value();
    BlockSampling each_once = BlockSampling::open(config, /*seed=*/7, *dataset).value();
    stream_ = std::make_unique<StreamRows>(dataset, std::move(plan), std::move(store),
                                           std::move(each_once), /*lanes=*/1, kWindow,
                                           StreamRows::kBlocksAhead, /*seed=*/7, /*epochs=*/9);
  }

  // One row of each strip, as slowly as blocks come; how many blocks were not there in time.
  uint64_t waits_of(uint64_t epoch, uint64_t strips = kBlocks) {
    const uint64_t before = stream_->counters().waited;
    for (uint64_t strip = 0; strip < strips; ++strip) {
      std::vector<uint64_t> ids(1);
      std::vector<float> features(kWidth);
      float label = 0, weight = 0;
      const Status status =
          stream_->read(epoch, kLane, strip * kBlockRows,
                        {ids, std::as_writable_bytes(std::span(features)).data(), &label, &weight});
      EXPECT_TRUE(status.ok()) << status.to_string();
      std::unique_lock lock(watch_.mutex);
      EXPECT_TRUE(watch_.settled.wait_for(lock, std::chrono::seconds(30),
                                          [this] { return watch_.reading == 0; }));
    }
    return stream_->counters().waited - before;
  }

  std::string folder_;
  WatchedFolder::Watch watch_;
  std::unique_ptr<StreamRows> stream_;
};

TEST_F(StreamAheadTest, WaitsForNoBlockButThoseOfTheFirstWindow) {
  for (const uint32_t slots_to_keep : {0u, 1u, 20u}) {
    open(slots_to_keep);

    EXPECT_LE(waits_of(0), kWindow) << slots_to_keep << " kept";
    EXPECT_LE(waits_of(1), kWindow - 1) << slots_to_keep << " kept";
  }
}

TEST_F(StreamAheadTest, ReadsAheadAfterALaneWentBackByAnEpoch) {
  for (const uint32_t slots_to_keep : {0u, 1u, 20u}) {
    open(slots_to_keep);
    waits_of(0);
    waits_of(1, 3);

    // What was read ahead for nobody makes room when as many blocks as there are slots came after.
    EXPECT_LE(waits_of(0), kWindow + kSlots) << slots_to_keep << " kept";
  }
}

}  // namespace
}  // namespace ballast
