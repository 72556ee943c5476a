// How often streamed rows ask a far place for a block where a disk cache has room for some of them,
// against the least there can be: Belady's rule over the same uses.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/resolve_shapes.h"
#include "worker/data/source/cached_source.h"
#include "worker/data/source/local_source.h"
#include "worker/data/stream_rows.h"

namespace ballast {
namespace {

constexpr uint32_t kWidth = 33;
constexpr uint32_t kBlockRows = 20;
constexpr uint64_t kBlocks = 200;
constexpr uint64_t kRows = kBlocks * kBlockRows - 7;  // lanes begin within blocks
constexpr uint64_t kBlockBytes = 4096;
constexpr uint64_t kEpochs = 6;

// A folder that is far away, and counts.
class FarFolder final : public Source {
 public:
  FarFolder(const std::string& folder, std::atomic<uint64_t>& reads)
      : folder_(folder), reads_(reads) {}
  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override {
    ++reads_;
    folder_.read(object, offset, into, std::move(done));
  }
  Result<uint64_t> size_of(const std::string& object) override { return folder_.size_of(object); }
  [[nodiscard]] bool is_remote() const override { return true; }
  [[nodiscard]] std::string name_of(const std::string& object) const override {
    return folder_.name_of(object);
  }

 private:
  LocalSource folder_;
  std::atomic<uint64_t>& reads_;
};

struct Shape {
  uint32_t lanes;
  uint32_t window;
  uint64_t strips_behind = 0;  // each lane is so many behind the one before
  uint64_t cached = kBlocks / 2;
};

class StreamCacheTest : public DataFixture {
 protected:
  void SetUp() override {
    folder_ = write_pixels("train", kRows, kWidth, 10, kBlockRows);
    dataset_ = open_filled_dataset(folder_).value();
    ASSERT_EQ(dataset_->block_count(), kBlocks);
    ASSERT_EQ(dataset_->block(0).stored.bytes, kBlockBytes);
  }

  std::unique_ptr<StreamRows> open(const Shape& shape) {
    DataConfig config;
    config.features = {"pixels"};
    config.label = "label";
    RowPlan plan = plan_rows(*dataset_, config).value();
    cache_ = CacheFolder::open(path("cache"), shape.cached * kBlockBytes, false).value();
    auto source =
        std::make_unique<CachedSource>(std::make_unique<FarFolder>(folder_, reads_), cache_);
    const uint32_t slots = shape.lanes * (shape.window + StreamRows::kBlocksAhead);
    auto store = BlockStore::open(dataset_, plan, std::move(source), slots).value();
    BlockSampling each_once = BlockSampling::open(config, /*seed=*/7, *dataset_).value();
    return std::make_unique<StreamRows>(dataset_, std::move(plan), std::move(store),
                                        std::move(each_once), shape.lanes, shape.window,
                                        StreamRows::kBlocksAhead, /*seed=*/7, kEpochs);
  }

  static std::vector<StripOrder> orders(const Shape& shape) {
    std::vector<uint32_t> block_rows(kBlocks, kBlockRows);
    block_rows.back() = kBlockRows - 7;
    std::vector<StripOrder> orders;
    for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
      orders.emplace_back(block_rows, shape.lanes, shape.window, 7, epoch);
    }
    return orders;
  }

  // Reads all epochs, a block's rows of each lane at a time; how often the far folder was asked.
  uint64_t reads(const Shape& shape) {
    reads_ = 0;
    {
      const auto stream = open(shape);
      const std::vector<StripOrder> epochs = orders(shape);
      std::vector<std::pair<uint64_t, uint64_t>> at(shape.lanes);  // epoch, position
      bool reading = true;
      for (uint64_t round = 0; reading; ++round) {
        reading = false;
        for (uint32_t lane = 0; lane < shape.lanes; ++lane) {
          auto& [epoch, position] = at[lane];
          if (epoch == kEpochs) continue;
          reading = true;
          if (round < lane * shape.strips_behind) continue;
          const StripOrder& order = epochs[epoch];
          const uint64_t end = order.strip_begin(LaneId(lane), order.piece_count(LaneId(lane)));
          const uint64_t count = std::min<uint64_t>(kBlockRows, end - position);
          read(*stream, epoch, lane, position, count);
          position += count;
          if (position == end) at[lane] = {epoch + 1, 0};
        }
      }
    }
    written_ = cache_->counters().kept;
    cache_ = nullptr;
    std::filesystem::remove_all(path("cache"));
    return reads_;
  }

  static void read(StreamRows& stream, uint64_t epoch, uint32_t lane, uint64_t first,
                   uint64_t count) {
    std::vector<uint64_t> ids(count);
    std::vector<float> features(count * kWidth), labels(count), weights(count);
    const Status status = stream.read(
        epoch, LaneId(lane), first,
        {ids, std::as_writable_bytes(std::span(features)).data(), labels.data(), weights.data()});
    ASSERT_TRUE(status.ok()) << status.to_string();
  }

  // The blocks that lanes ask for, in the order of time.
  static std::vector<uint64_t> uses(const Shape& shape) {
    std::multimap<uint64_t, uint64_t> by_time;
    const std::vector<StripOrder> epochs = orders(shape);
    for (uint32_t lane = 0; lane < shape.lanes; ++lane) {
      uint64_t now = lane * shape.strips_behind;
      for (const StripOrder& order : epochs) {
        for (const Share& share : order.shares(LaneId(lane), 0)) {
          by_time.emplace(now, order.piece(LaneId(lane), share.piece).block);
        }
        for (uint64_t strip = 1; strip < order.piece_count(LaneId(lane)); ++strip) {
          by_time.emplace(++now, order.piece(LaneId(lane), strip).block);
        }
        ++now;
      }
    }
    std::vector<uint64_t> blocks;
    for (const auto& [now, block] : by_time) blocks.push_back(block);
    return blocks;
  }

  // Who keeps as many blocks and knows all that comes.
  static uint64_t least_reads(const Shape& shape) {
    const std::vector<uint64_t> blocks = uses(shape);
    std::vector<uint64_t> next(blocks.size());
    std::map<uint64_t, uint64_t> seen;  // from the end: where a block is used
    for (size_t i = blocks.size(); i-- > 0;) {
      next[i] = seen.contains(blocks[i]) ? seen[blocks[i]] : blocks.size();
      seen[blocks[i]] = i;
    }
    uint64_t count = 0;
    std::map<uint64_t, uint64_t> kept;  // when each is needed next
    for (size_t i = 0; i < blocks.size(); ++i) {
      count += kept.contains(blocks[i]) ? 0 : 1;
      kept[blocks[i]] = next[i];
      if (kept.size() <= shape.cached) continue;
      kept.erase(std::ranges::max_element(kept, {}, [](const auto& each) { return each.second; }));
    }
    return count;
  }

  std::string folder_;
  std::shared_ptr<const Dataset> dataset_;
  std::shared_ptr<CacheFolder> cache_;
  std::atomic<uint64_t> reads_ = 0;
  uint64_t written_ = 0;  // to the cache, by reads()
};

TEST_F(StreamCacheTest, AsksHardlyMoreOftenThanWhoKnowsAllThatComes) {
  for (const Shape& shape : {Shape{1, 4}, Shape{4, 4}, Shape{2, 8}, Shape{8, 4}}) {
    EXPECT_LE(reads(shape), least_reads(shape) * 108 / 100)
        << shape.lanes << " lanes, window " << shape.window;
  }
}

// A block that is not needed again soon is not written for others to be dropped: what is read once
// and dropped before it is read again would cost a write each time.
TEST_F(StreamCacheTest, WritesNoMoreThanItSparesWhereTheCacheIsSmall) {
  for (const uint32_t lanes : {1u, 4u, 16u}) {
    const Shape shape{.lanes = lanes, .window = 4, .cached = kBlocks / 10};
    const uint64_t found = reads(shape);

    EXPECT_LE(found, least_reads(shape) * 108 / 100) << lanes << " lanes";
    EXPECT_LE(written_, found / 2) << lanes << " lanes";
  }
}

TEST_F(StreamCacheTest, KeepsWhatSlowLanesNeedToo) {
  const Shape shape{.lanes = 4, .window = 4, .strips_behind = 5};

  EXPECT_LE(reads(shape), least_reads(shape) * 112 / 100);
}

}  // namespace
}  // namespace ballast
