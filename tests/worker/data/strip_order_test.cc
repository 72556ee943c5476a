#include "worker/data/strip_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/placement/lane_schedule.h"

namespace ballast {
namespace {

using BlockRow = std::pair<uint64_t, uint32_t>;

std::vector<uint32_t> equal_blocks(uint64_t count, uint32_t rows) {
  return std::vector<uint32_t>(count, rows);
}

std::vector<uint32_t> ragged_blocks(uint64_t count, uint32_t rows_max, uint64_t seed) {
  Random random(seed);
  std::vector<uint32_t> blocks(count);
  for (uint32_t& rows : blocks) rows = 1 + static_cast<uint32_t>(random.below(rows_max));
  return blocks;
}

// The rows of one strip, in order.
std::vector<BlockRow> strip_of(const StripOrder& order, LaneId lane, uint64_t strip) {
  std::vector<BlockRow> rows;
  for (const Share& share : order.shares(lane, strip)) {
    const Piece piece = order.piece(lane, share.piece);
    std::vector<uint32_t> permuted(piece.rows);
    order.permute_piece(lane, share.piece, permuted);
    for (uint32_t i = 0; i < share.count; ++i) {
      rows.emplace_back(piece.block, piece.first_row + permuted[share.first + i]);
    }
  }
  order.permute_strip(lane, strip, std::span(rows));
  return rows;
}

// Counts how often each row of the data set comes in the epoch; true if each comes once.
bool gives_each_row_once(const std::vector<uint32_t>& blocks, uint32_t lanes, uint32_t window) {
  const StripOrder order(blocks, lanes, window, /*seed=*/5, /*epoch=*/2);
  std::vector<uint64_t> first(blocks.size() + 1);
  std::partial_sum(blocks.begin(), blocks.end(), first.begin() + 1, std::plus<uint64_t>());
  std::vector<bool> seen(first.back());
  uint64_t count = 0;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    for (uint64_t strip = 0; strip < order.piece_count(LaneId(lane)); ++strip) {
      for (const auto& [block, row] : strip_of(order, LaneId(lane), strip)) {
        if (row >= blocks[block] || seen[first[block] + row]) return false;
        seen[first[block] + row] = true;
        ++count;
      }
    }
  }
  return count == first.back();
}

TEST(StripOrder, GivesEachRowOnceForAnyLanesWindowAndBlocks) {
  for (const uint32_t lanes : {1u, 2u, 3u, 8u, 40u}) {
    for (const uint32_t window : {1u, 2u, 5u, 64u}) {
      EXPECT_TRUE(gives_each_row_once(equal_blocks(17, 31), lanes, window));
      EXPECT_TRUE(gives_each_row_once(ragged_blocks(60, 50, lanes), lanes, window));
      EXPECT_TRUE(gives_each_row_once({1}, lanes, window)) << "lanes without rows";
    }
  }
}

TEST(StripOrder, GivesEachOfTenMillionRowsOnce) {
  for (const uint32_t lanes : {1u, 8u, 40u}) {
    EXPECT_TRUE(gives_each_row_once(equal_blocks(1000, 10'000), lanes, 4)) << lanes << " lanes";
  }
}

TEST(StripOrder, HasLanesAsLongAsTheScheduleSays) {
  const std::vector<uint32_t> blocks = ragged_blocks(23, 90, 1);
  const uint64_t rows = std::accumulate(blocks.begin(), blocks.end(), uint64_t{0});
  const LaneSchedule schedule(rows, 7, 7, 1);
  const StripOrder order(blocks, 7, 3, 1, 0);

  for (uint32_t lane = 0; lane < 7; ++lane) {
    EXPECT_EQ(order.strip_begin(LaneId(lane), order.piece_count(LaneId(lane))),
              schedule.lane_rows(LaneId(lane)));
  }
}

TEST(StripOrder, MixesEqualSharesOfWindowBlocksInEveryStrip) {
  const uint32_t window = 5;
  const StripOrder order(equal_blocks(40, 1000), 2, window, 3, 1);

  for (uint64_t strip = 0; strip < order.piece_count(LaneId(1)); ++strip) {
    std::vector<uint32_t> counts;
    std::set<uint64_t> blocks;
    for (const Share& share : order.shares(LaneId(1), strip)) {
      counts.push_back(share.count);
      blocks.insert(order.piece(LaneId(1), share.piece).block);
    }
    EXPECT_EQ(blocks.size(), window) << "strip " << strip;
    EXPECT_EQ(counts, std::vector<uint32_t>(window, 1000 / window)) << "strip " << strip;
  }
}

TEST(StripOrder, DealsEveryPieceInSharesThatAreEqualButForARow) {
  const uint32_t lanes = 3, window = 7;
  const StripOrder order(ragged_blocks(90, 400, 6), lanes, window, 3, 1);

  for (uint32_t lane = 0; lane < lanes; ++lane) {
    const uint64_t pieces = order.piece_count(LaneId(lane));
    std::vector<uint64_t> dealt(pieces);
    for (uint64_t strip = 0; strip < pieces; ++strip) {
      const std::vector<Share> shares = order.shares(LaneId(lane), strip);
      EXPECT_EQ(shares.size(), window) << "strip " << strip;
      for (const Share& share : shares) {
        const uint32_t rows = order.piece(LaneId(lane), share.piece).rows;
        EXPECT_GE(share.count, rows / window);
        EXPECT_LE(share.count, rows / window + 1);
        dealt[share.piece] += share.count;
      }
    }
    for (uint64_t piece = 0; piece < pieces; ++piece) {
      EXPECT_EQ(dealt[piece], order.piece(LaneId(lane), piece).rows);
    }
  }
}

TEST(StripOrder, NeedsOneNewPieceAStrip) {
  const StripOrder order(equal_blocks(30, 10), 1, 4, 9, 0);

  for (uint64_t strip = 0; strip < 30; ++strip) {
    const std::vector<Share> shares = order.shares(LaneId(0), strip);
    EXPECT_EQ(shares.front().piece, strip);
    for (uint64_t j = 0; j < 4; ++j) EXPECT_EQ(shares[j].piece, (strip + 30 - j) % 30);
  }
}

TEST(StripOrder, FindsTheStripOfASample) {
  const StripOrder order(ragged_blocks(50, 20, 4), 3, 4, 9, 0);
  const LaneId lane(2);

  for (uint64_t strip = 0; strip < order.piece_count(lane); ++strip) {
    for (uint64_t i = order.strip_begin(lane, strip); i < order.strip_begin(lane, strip + 1); ++i) {
      ASSERT_EQ(order.strip_of(lane, i), strip);
    }
  }
}

TEST(StripOrder, DependsOnSeedAndEpochAndOnNothingElse) {
  const std::vector<uint32_t> blocks = ragged_blocks(20, 40, 8);
  const auto strip = [&](uint64_t seed, uint64_t epoch) {
    return strip_of(StripOrder(blocks, 2, 3, seed, epoch), LaneId(1), 4);
  };

  EXPECT_EQ(strip(1, 0), strip(1, 0));
  EXPECT_NE(strip(1, 0), strip(2, 0));
  EXPECT_NE(strip(1, 0), strip(1, 1));
}

// 4 blocks cut by lanes' ends at most twice, and W - 1 pieces of each lane read again.
TEST(StripOrder, CountsWhatItReadsTwice) {
  EXPECT_EQ(StripOrder(equal_blocks(100, 10), 1, 1, 1, 0).extra_reads(), 0u);
  EXPECT_EQ(StripOrder(equal_blocks(100, 10), 1, 4, 1, 0).extra_reads(), 3u);
  EXPECT_EQ(StripOrder(equal_blocks(100, 10), 4, 4, 1, 0).extra_reads(), 12u);
  EXPECT_EQ(StripOrder(equal_blocks(10, 10), 4, 1, 1, 0).extra_reads(), 2u) << "25 rows a lane";
  EXPECT_EQ(StripOrder(equal_blocks(8, 10), 2, 4, 1, 0).extra_reads(), 0u) << "all are held";
}

}  // namespace
}  // namespace ballast
