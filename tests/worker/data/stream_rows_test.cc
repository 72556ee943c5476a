#include "worker/data/stream_rows.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>
#include <thread>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

using testing::HasSubstr;

constexpr uint32_t kWidth = 33;
constexpr uint64_t kRows = 1230;  // 25 blocks of 50, the last one short
constexpr uint32_t kLanes = 3;
constexpr uint32_t kWindow = 4;
constexpr uint64_t kEpochs = 2;

constexpr uint32_t blocks_per_lane(uint32_t window) {
  return window + StreamRows::kBlocksAhead;
}

class StreamRowsTest : public DataFixture {
 protected:
  void SetUp() override { folder_ = write_pixels("train", kRows, kWidth); }

  std::unique_ptr<StreamRows> open(uint32_t slots = kLanes * blocks_per_lane(kWindow),
                                   bool direct = false, uint32_t window = kWindow,
                                   uint32_t slots_to_keep = 0, uint64_t epochs = kEpochs,
                                   uint32_t lanes = kLanes) {
    dataset_ = open_filled_dataset(folder_).value();
    DataConfig config;
    config.features = {feature_};
    config.label = "label";
    RowPlan plan = plan_rows(*dataset_, config).value();
    // Past the page cache when there is more to read than any memory.
    auto source = open_source(folder_, {}, {.bytes = direct ? ~uint64_t{0} : 0, .threads = 4});
    auto store = BlockStore::open(dataset_, plan, std::move(source).value(), slots, slots_to_keep);
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    BlockSampling each_once = BlockSampling::open(config, /*seed=*/7, *dataset_).value();
    return std::make_unique<StreamRows>(dataset_, std::move(plan), std::move(store).value(),
                                        std::move(each_once), lanes, window,
                                        StreamRows::kBlocksAhead, /*seed=*/7, epochs);
  }
  std::unique_ptr<StreamRows> open_keeping(uint32_t slots_to_keep, uint64_t epochs = kEpochs) {
    return open(kLanes * blocks_per_lane(kWindow), false, kWindow, slots_to_keep, epochs);
  }

  [[nodiscard]] static uint64_t lane_rows(uint32_t lane) {
    return kRows / kLanes + (lane < kRows % kLanes ? 1 : 0);
  }

  struct Rows {
    std::vector<uint64_t> ids;
    std::vector<float> features;
    std::vector<float> labels;
    std::vector<float> weights;
  };
  static Result<Rows> read(StreamRows& stream, uint64_t epoch, uint32_t lane, uint64_t first,
                           size_t count) {
    Rows rows{std::vector<uint64_t>(count), std::vector<float>(count * kWidth),
              std::vector<float>(count), std::vector<float>(count)};
    BALLAST_RETURN_IF_ERROR(
        stream.read(epoch, LaneId(lane), first,
                    {rows.ids, std::as_writable_bytes(std::span(rows.features)).data(),
                     rows.labels.data(), rows.weights.data()}));
    return rows;
  }

  // The row ids of a lane's epoch, `step` at a time.
  static std::vector<uint64_t> lane_of(StreamRows& stream, uint64_t epoch, uint32_t lane,
                                       size_t step) {
    std::vector<uint64_t> ids;
    while (ids.size() < lane_rows(lane)) {
      const size_t count = std::min<size_t>(step, lane_rows(lane) - ids.size());
      const Rows rows = read(stream, epoch, lane, ids.size(), count).value();
      ids.insert(ids.end(), rows.ids.begin(), rows.ids.end());
    }
    return ids;
  }

  std::string folder_;
  std::string feature_ = "pixels";
  std::shared_ptr<const Dataset> dataset_;
};

TEST_F(StreamRowsTest, GivesEachRowOnceAnEpochWithItsOwnValues) {
  for (const bool direct : {false, true}) {
    const auto stream = open(kLanes * blocks_per_lane(kWindow), direct);
    for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
      std::set<uint64_t> seen;
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        for (uint64_t first = 0; first < lane_rows(lane); first += 10) {
          const size_t count = std::min<uint64_t>(10, lane_rows(lane) - first);
          const Rows rows = read(*stream, epoch, lane, first, count).value();
          for (size_t i = 0; i < count; ++i) {
            EXPECT_TRUE(seen.insert(rows.ids[i]).second);
            for (uint32_t k = 0; k < kWidth; ++k) {
              ASSERT_EQ(rows.features[i * kWidth + k], static_cast<uint8_t>(rows.ids[i] * 7 + k));
            }
            ASSERT_EQ(rows.labels[i], static_cast<float>(rows.ids[i] % 10));
          }
        }
      }
      EXPECT_EQ(seen.size(), kRows);
    }
  }
}

TEST_F(StreamRowsTest, GivesTheSameRowsHoweverTheyAreAskedFor) {
  const std::vector<uint64_t> expected = lane_of(*open(), 1, 2, 1);

  EXPECT_EQ(lane_of(*open(), 1, 2, 64), expected);
  const auto stream = open();
  for (const uint64_t first : {300, 0, 399, 120, 119}) {  // resumed anywhere, also backwards
    const uint64_t count = std::min<uint64_t>(10, lane_rows(2) - first);
    EXPECT_EQ(read(*stream, 1, 2, first, count)->ids,
              std::vector<uint64_t>(expected.begin() + first, expected.begin() + first + count));
  }
}

TEST_F(StreamRowsTest, HasAtHandWhatTheOpenStripHasAndNothingElse) {
  const auto stream = open();
  const LaneId lane(1);
  EXPECT_FALSE(stream->at_hand(0, lane, 0, 1)) << "nothing was read";

  ASSERT_TRUE(read(*stream, 0, 1, 60, 1).ok());
  std::vector<uint32_t> rows;
  for (uint64_t block = 0; block < dataset_->block_count(); ++block) {
    rows.push_back(dataset_->block(block).stored.rows);
  }
  const StripOrder order(rows, kLanes, kWindow, /*seed=*/7, /*epoch=*/0);
  const uint64_t strip = order.strip_of(lane, 60);  // not the first, not the last
  const uint64_t begin = order.strip_begin(lane, strip), end = order.strip_begin(lane, strip + 1);
  ASSERT_GT(begin, 0u);
  ASSERT_LT(end, lane_rows(1));

  EXPECT_TRUE(stream->at_hand(0, lane, begin, end - begin));
  EXPECT_FALSE(stream->at_hand(0, lane, begin - 1, 2));
  EXPECT_FALSE(stream->at_hand(0, lane, end - 1, 2))
      << "somebody may still come for the samples before";
  EXPECT_FALSE(stream->at_hand(1, lane, begin, 1)) << "another epoch";
  EXPECT_FALSE(stream->at_hand(0, LaneId(2), begin, 1)) << "another lane";
  stream->forget(lane);
  EXPECT_FALSE(stream->at_hand(0, lane, begin, 1));
}

TEST_F(StreamRowsTest, GivesTheSameRowsToManyThreadsAtOnce) {
  std::vector<std::vector<uint64_t>> expected(kLanes), found(kLanes);
  for (uint32_t lane = 0; lane < kLanes; ++lane) expected[lane] = lane_of(*open(), 0, lane, 7);
  const auto stream = open();
  {
    std::vector<std::jthread> readers;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      readers.emplace_back([&, lane] { found[lane] = lane_of(*stream, 0, lane, 7); });
    }
  }
  EXPECT_EQ(found, expected);
}

TEST_F(StreamRowsTest, ReadsEachBlockOnceButForTheCutsAndTheWrap) {
  std::vector<uint32_t> block_rows(25, 50);
  block_rows.back() = 30;
  for (const uint32_t window : {1u, 4u, 8u, 9u, 10u, 64u}) {  // lanes have 9 or 10 pieces
    const auto stream = open(kLanes * blocks_per_lane(window), false, window);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      (void)lane_of(*stream, 1, lane, 10);
      stream->forget(LaneId(lane));  // so that no lane finds a cut block of its neighbour
    }

    const StripOrder order(block_rows, kLanes, window, 7, 1);
    EXPECT_EQ(stream->counters().fetched, block_rows.size() + order.extra_reads())
        << "window " << window;
    EXPECT_EQ(stream->counters().over_budget, 0u);
  }
}

// What one lane asks for, with the blocks of its window and the two ahead taken from the places: a
// plain model, which looks through everything each time.
class PlainKeeping {
 public:
  PlainKeeping(size_t places, std::vector<StripOrder> epochs)
      : places_(places), epochs_(std::move(epochs)) {}

  // fetched, found
  std::pair<uint64_t, uint64_t> run() {
    for (size_t epoch = 0; epoch < epochs_.size(); ++epoch) {
      held_.clear();
      for (uint64_t strip = 0; strip < epochs_[epoch].piece_count(kLane); ++strip) {
        open(epoch, strip);
      }
    }
    return {fetched_, found_};
  }

 private:
  static constexpr LaneId kLane{0};
  using Asked = std::set<uint64_t>;

  [[nodiscard]] Asked window(size_t epoch, uint64_t strip) const {
    Asked blocks;
    for (const Share& share : epochs_[epoch].shares(kLane, strip)) {
      blocks.insert(epochs_[epoch].piece(kLane, share.piece).block);
    }
    return blocks;
  }
  // Blocks that a strip asks for and that the lane does not hold since the strip before.
  [[nodiscard]] Asked asked(size_t epoch, uint64_t strip) const {
    Asked blocks = window(epoch, strip);
    if (strip == 0) return blocks;
    for (uint64_t held : window(epoch, strip - 1)) blocks.erase(held);
    return blocks;
  }
  // Strips from this one on until the block is asked for, at most to the end of the next epoch.
  [[nodiscard]] uint64_t distance(uint64_t block, size_t epoch, uint64_t strip) const {
    uint64_t strips = 0;
    const size_t last = std::min(epoch + 2, epochs_.size());
    for (; epoch < last; ++epoch, strip = 0) {
      for (; strip < epochs_[epoch].piece_count(kLane); ++strip, ++strips) {
        if (asked(epoch, strip).contains(block)) return strips;
      }
    }
    return ~uint64_t{0};
  }

  void open(size_t epoch, uint64_t strip) {
    held_ = window(epoch, strip);
    const Asked wanted = asked(epoch, strip);
    std::erase_if(held_, [&](uint64_t block) { return wanted.contains(block); });
    for (uint64_t block : wanted) {
      if (there_.contains(block)) found_ += ahead_.contains(block) ? 0 : 1;
      ahead_.erase(block);
      if (there_.contains(block)) held_.insert(block);
    }
    for (uint64_t block : wanted) {
      if (!held_.contains(block)) (void)fetch(block, epoch, strip, 0);
      held_.insert(block);
    }
    const uint64_t pieces = epochs_[epoch].piece_count(kLane);
    for (uint64_t next = strip + 1; next <= strip + kAhead; ++next) {
      const size_t of = next < pieces ? epoch : epoch + 1;
      if (of == epochs_.size()) continue;
      const uint64_t block = epochs_[of].piece(kLane, next < pieces ? next : next - pieces).block;
      if (there_.contains(block)) continue;
      if (fetch(block, epoch, strip + 1, distance(block, epoch, strip + 1))) ahead_.insert(block);
    }
  }

  bool fetch(uint64_t block, size_t epoch, uint64_t strip, uint64_t needed) {
    if (there_.size() == places_) {
      uint64_t victim = 0, latest = 0;
      bool any = false;
      for (uint64_t each : there_) {
        if (held_.contains(each)) continue;
        const uint64_t next = distance(each, epoch, strip);
        if (any && next <= latest) continue;
        any = true;
        victim = each;
        latest = next;
      }
      if (!any || (needed > 0 && latest <= needed)) return false;
      there_.erase(victim);
      ahead_.erase(victim);
    }
    there_.insert(block);
    ++fetched_;
    return true;
  }

  static constexpr uint64_t kAhead = StreamRows::kBlocksAhead;  // asked for ahead
  size_t places_;
  std::vector<StripOrder> epochs_;
  Asked there_, held_, ahead_;
  uint64_t fetched_ = 0, found_ = 0;
};

TEST_F(StreamRowsTest, FindsAsManyBlocksInMemoryAsAPlainModelOfBeladysRule) {
  constexpr uint64_t kMany = 5;
  std::vector<uint32_t> block_rows(25, 50);
  block_rows.back() = 30;
  std::vector<StripOrder> epochs;
  for (uint64_t epoch = 0; epoch < kMany; ++epoch) {
    epochs.emplace_back(block_rows, 1, kWindow, 7, epoch);
  }
  const uint32_t slots = blocks_per_lane(kWindow);
  for (const uint32_t keep : {1u, 3u, 8u, 15u, 16u, 17u}) {
    const auto stream = open(slots, false, kWindow, keep, kMany, 1);
    for (uint64_t epoch = 0; epoch < kMany; ++epoch) {
      for (uint64_t first = 0; first < kRows; first += 10) {
        ASSERT_TRUE(read(*stream, epoch, 0, first, 10).ok());
      }
    }

    const auto [fetched, found] = PlainKeeping(slots + keep, epochs).run();
    EXPECT_EQ(stream->counters().fetched, fetched) << "keeps " << keep;
    EXPECT_EQ(stream->counters().found, found) << "keeps " << keep;
    EXPECT_EQ(stream->counters().over_budget, 0u);
    if (slots + keep == 25) {
      EXPECT_EQ(fetched, 25u);
    }
  }
}

TEST_F(StreamRowsTest, GivesTheSameRowsWhateverIsKept) {
  const auto plain = open();
  for (const uint32_t keep : {1u, 5u, 25u}) {
    const auto stream = open_keeping(keep);
    for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
      for (uint64_t first = 0; first + 10 <= kRows / kLanes; first += 10) {
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
          const Rows found = read(*stream, epoch, lane, first, 10).value();
          const Rows expected = read(*plain, epoch, lane, first, 10).value();
          ASSERT_EQ(found.ids, expected.ids);
          ASSERT_EQ(found.features, expected.features);
          ASSERT_EQ(found.labels, expected.labels);
        }
      }
    }
    EXPECT_GT(stream->counters().found, 0u);
    EXPECT_LT(stream->counters().fetched, plain->counters().fetched);
    EXPECT_EQ(stream->counters().over_budget, 0u) << "more memory than was planned";
  }
}

TEST_F(StreamRowsTest, ReadsEachBlockOnceInAllEpochsWhereAllAreKept) {
  const auto stream = open_keeping(25, /*epochs=*/6);

  for (uint64_t epoch = 0; epoch < 6; ++epoch) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) (void)lane_of(*stream, epoch, lane, 10);
  }

  EXPECT_EQ(stream->counters().fetched, 25u);
}

TEST_F(StreamRowsTest, KeepsItsMemoryWhereLanesComeAndGoInManyThreads) {
  for (const uint32_t keep : {1u, 6u}) {
    const auto stream = open_keeping(keep, /*epochs=*/4);
    std::vector<std::jthread> readers;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      readers.emplace_back([&, lane] {
        const std::vector<uint64_t> expected = lane_of(*stream, 3, lane, 7);
        for (const uint64_t first : {300, 0, 390, 120, 119}) {
          for (uint64_t epoch = 0; epoch < 4; ++epoch) {
            EXPECT_TRUE(read(*stream, epoch, lane, first, 10).ok());
          }
          stream->forget(LaneId(lane));
        }
        EXPECT_EQ(lane_of(*stream, 3, lane, 7), expected);
      });
    }
    readers.clear();
    EXPECT_EQ(stream->counters().over_budget, 0u);
  }
}

TEST_F(StreamRowsTest, ReadsNoMoreThanAWindowToGoOnFromAnywhere) {
  for (uint64_t first = 0; first < lane_rows(1); first += 37) {
    const auto stream = open();

    (void)read(*stream, 1, 1, first, 1).value();

    EXPECT_LE(stream->counters().fetched, blocks_per_lane(kWindow)) << "from place " << first;
  }
}

// A worker may be given every lane when the others die: it must go on, if slower.
TEST_F(StreamRowsTest, GoesOnWithMoreLanesThanItHasMemoryPlanned) {
  const auto stream = open(/*slots=*/2);

  std::set<uint64_t> seen;
  for (uint64_t first = 0; first < kRows / kLanes; first += 10) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const Rows rows = read(*stream, 0, lane, first, 10).value();
      seen.insert(rows.ids.begin(), rows.ids.end());
    }
  }

  EXPECT_EQ(seen.size(), kRows / kLanes / 10 * 10 * kLanes);
  EXPECT_GT(stream->counters().over_budget, 0u);
}

TEST_F(StreamRowsTest, NamesADamagedBlockAndIsThereForTheNextRead) {
  const auto whole = open_filled_dataset(folder_).value();
  const BlockPlace damaged = whole->block(9);
  const std::string chunk = whole->chunk_path(damaged.chunk);
  flip_bit(chunk, damaged.stored.offset + 17);
  const auto stream = open();

  Status failure;
  for (uint32_t lane = 0; lane < kLanes && failure.ok(); ++lane) {
    for (uint64_t first = 0; first + 10 <= lane_rows(lane) && failure.ok(); first += 10) {
      failure = read(*stream, 0, lane, first, 10).status();
    }
  }
  EXPECT_EQ(failure.code(), Code::kDataLoss);
  EXPECT_THAT(failure.to_string(), HasSubstr(chunk));
  EXPECT_THAT(failure.to_string(),
              HasSubstr("block " + std::to_string(damaged.index_in_chunk) + " of"));

  flip_bit(chunk, damaged.stored.offset + 17);  // mended: another read asks the source again
  EXPECT_EQ(lane_of(*stream, 0, 0, 10).size(), lane_rows(0));
}

TEST_F(StreamRowsTest, RefusesABadValueEachTimeItIsAskedFor) {
  std::vector<float> values(kRows, 1);
  values[700] = std::nanf("");
  folder_ = write_floats("nan", values, 1, 4096);
  feature_ = "values";
  std::vector<uint64_t> ids(lane_rows(0));
  std::vector<float> features(ids.size()), labels(ids.size()), weights(ids.size());
  for (const uint32_t keep : {0u, 3u}) {
    const auto stream = open_keeping(keep);
    for (int again = 0; again < 3; ++again) {
      Status failure;
      for (uint32_t lane = 0; lane < kLanes && failure.ok(); ++lane) {
        const std::span rows(ids.data(), lane_rows(lane));
        failure = stream->read(0, LaneId(lane), 0,
                               {rows, std::as_writable_bytes(std::span(features)).data(),
                                labels.data(), weights.data()});
      }
      EXPECT_EQ(failure.code(), Code::kInvalidInput) << again;
      EXPECT_THAT(failure.to_string(), HasSubstr("a finite number expected, nan found"));
    }
  }
}

TEST_F(StreamRowsTest, GivesBackTheBlocksOfALaneThatWent) {
  const auto stream = open(/*slots=*/blocks_per_lane(kWindow));
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    (void)read(*stream, 0, lane, 0, 200);
    stream->forget(LaneId(lane));
  }

  EXPECT_EQ(stream->counters().over_budget, 0u);
  EXPECT_EQ(lane_of(*stream, 0, 1, 10).size(), lane_rows(1));  // it may return
}

// Who verifies a block and who asks for the next must never wait for each other.
TEST_F(StreamRowsTest, EndsInAnErrorWhereManyThreadsReadManyBadBlocks) {
  folder_ = write_floats("nan", std::vector<float>(20 * kRows, std::nanf("")), 1, 4096);
  feature_ = "values";
  for (int round = 0; round < 20; ++round) {
    const auto stream = open();
    std::vector<std::jthread> readers;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      readers.emplace_back([&, lane] {
        uint64_t id = 0;
        std::byte feature[sizeof(float)];
        float label = 0, weight = 0;
        for (uint64_t at = 0; at < 40; ++at) {
          EXPECT_FALSE(
              stream->read(0, LaneId(lane), at * 10, {std::span(&id, 1), feature, &label, &weight})
                  .ok());
        }
      });
    }
  }
}

TEST_F(StreamRowsTest, NamesAChunkThatIsMissing) {
  const std::string chunk = open_filled_dataset(folder_).value()->chunk_path(0);
  std::filesystem::remove(chunk);
  const auto stream = open();

  Status failure;
  for (uint64_t first = 0; first + 10 <= lane_rows(0) && failure.ok(); first += 10) {
    failure = read(*stream, 0, 0, first, 10).status();
  }

  EXPECT_EQ(failure.code(), Code::kNotFound);
  EXPECT_THAT(failure.to_string(), HasSubstr(chunk));
}

}  // namespace
}  // namespace ballast
