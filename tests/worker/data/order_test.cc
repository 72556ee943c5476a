#include "worker/data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/placement/lane_schedule.h"
#include "tests/support/plain_order.h"

namespace ballast {
namespace {

bool is_permutation_of(const std::vector<uint64_t>& rows) {
  std::vector<bool> seen(rows.size());
  for (uint64_t row : rows) {
    if (row >= rows.size() || seen[row]) return false;
    seen[row] = true;
  }
  return true;
}

// Every row of an epoch, lane after lane.
std::vector<uint64_t> epoch_of(const SampleOrder& order, uint64_t epoch, uint64_t rows,
                               uint32_t lanes) {
  const LaneSchedule schedule(rows, lanes, lanes, 1);
  std::vector<uint64_t> all;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    for (uint64_t i = 0; i < schedule.lane_rows(LaneId(lane)); ++i) {
      all.push_back(order.position(epoch, LaneId(lane), i));
    }
  }
  return all;
}

TEST(SampleOrder, GivesEachRowOnceForAnySizeAndLaneCount) {
  for (uint64_t rows : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4097, 9999}) {
    for (uint32_t lanes : {1, 2, 3, 4, 7, 8, 16, 40}) {
      for (Order kind : {Order::kFull, Order::kNone}) {
        const SampleOrder order(kind, rows, lanes, /*seed=*/rows * 31 + lanes);

        const std::vector<uint64_t> all = epoch_of(order, /*epoch=*/3, rows, lanes);

        ASSERT_EQ(all.size(), rows);
        EXPECT_TRUE(is_permutation_of(all)) << rows << " rows, " << lanes << " lanes";
      }
    }
  }
}

TEST(SampleOrder, IsTheFormulaOfItsHeader) {
  for (uint64_t rows : {1, 2, 3, 5, 16, 17, 63, 101, 3823, 4097}) {
    const uint64_t seed = rows + 11;
    const SampleOrder order(Order::kFull, rows, /*lanes=*/1, seed);
    for (uint64_t epoch : {0, 1, 7}) {
      for (uint64_t i = 0; i < rows; ++i) {
        ASSERT_EQ(order.position(epoch, LaneId(0), i), testing::plain_row(seed, epoch, rows, i))
            << "place " << i << " of " << rows << ", epoch " << epoch;
      }
    }
  }
}

TEST(SampleOrder, GivesEachOfAMillionRowsOnce) {
  for (uint64_t rows : {999'999, 1'000'003, 1 << 20}) {
    EXPECT_TRUE(is_permutation_of(epoch_of(SampleOrder(Order::kFull, rows, 8, 1), 0, rows, 8)));
  }
}

TEST(KeyedPermutation, StaysInsideHugeSizesAndTellsIndicesApart) {
  const uint64_t size = (1ull << 63) - 25;
  const KeyedPermutation permuted(size, 42);
  std::vector<uint64_t> images;

  for (uint64_t i = 0; i < 1000; ++i) {
    images.push_back(permuted(i));
    images.push_back(permuted(size - 1 - i));
  }

  std::sort(images.begin(), images.end());
  EXPECT_LT(images.back(), size);
  EXPECT_EQ(std::adjacent_find(images.begin(), images.end()), images.end());
}

TEST(SampleOrder, GivesASpanTheSameAsOneByOne) {
  const SampleOrder order(Order::kFull, 1000, 4, 5);
  std::vector<uint64_t> span(100);

  order.positions(2, LaneId(3), 17, span);

  for (size_t i = 0; i < span.size(); ++i) EXPECT_EQ(span[i], order.position(2, LaneId(3), 17 + i));
}

TEST(SampleOrder, MakesAStepTheSameRowsForAnyNumberOfLanes) {
  // Step t is places t * batch .. of one keyed order: how lanes share it does not change the set.
  const uint64_t rows = 960;
  for (uint64_t step : {0, 3, 9}) {
    std::vector<std::vector<uint64_t>> sets;
    for (uint32_t lanes : {1, 2, 4, 8}) {
      const SampleOrder order(Order::kFull, rows, lanes, 9);
      std::vector<uint64_t> set;
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        for (uint64_t i = 0; i < 96 / lanes; ++i) {
          set.push_back(order.position(0, LaneId(lane), step * (96 / lanes) + i));
        }
      }
      std::sort(set.begin(), set.end());
      sets.push_back(set);
    }
    for (const auto& set : sets) EXPECT_EQ(set, sets.front());
  }
}

TEST(SampleOrder, ChangesWithSeedAndEpochButNotWithTheClockOfTheDay) {
  const std::vector<uint64_t> first = epoch_of(SampleOrder(Order::kFull, 500, 4, 1), 0, 500, 4);

  EXPECT_EQ(first, epoch_of(SampleOrder(Order::kFull, 500, 4, 1), 0, 500, 4));
  EXPECT_NE(first, epoch_of(SampleOrder(Order::kFull, 500, 4, 1), 1, 500, 4));
  EXPECT_NE(first, epoch_of(SampleOrder(Order::kFull, 500, 4, 2), 0, 500, 4));
}

TEST(SampleOrder, IsTheSameForever) {
  // A stored job resumes in the middle of an epoch: a change here is a change of format.
  const SampleOrder order(Order::kFull, 1000, 4, 7);
  std::vector<uint64_t> rows(6);

  order.positions(1, LaneId(2), 0, rows);

  EXPECT_EQ(rows, (std::vector<uint64_t>{367, 378, 230, 938, 126, 353}));
}

// Chi-square of where index 0 .. size-1 land over many keys, in standard deviations from its mean.
double excess_of_places(uint64_t size, uint64_t index) {
  constexpr uint64_t kKeys = 20'000;
  std::vector<double> counts(size);
  for (uint64_t key = 0; key < kKeys; ++key) counts[KeyedPermutation(size, key)(index)] += 1;
  const double expected = static_cast<double>(kKeys) / static_cast<double>(size);
  double sum = 0;
  for (double count : counts) sum += (count - expected) * (count - expected) / expected;
  const auto freedom = static_cast<double>(size - 1);
  return (sum - freedom) / std::sqrt(2 * freedom);
}

TEST(KeyedPermutation, PutsEveryIndexAnywhereEquallyOften) {
  for (uint64_t size : {2, 3, 5, 10, 31, 100, 257}) {
    for (uint64_t index : {uint64_t{0}, size / 2, size - 1}) {
      EXPECT_LT(excess_of_places(size, index), 5) << "index " << index << " of " << size;
    }
  }
}

TEST(KeyedPermutation, SeparatesNeighboursAsRandomPermutationsDo) {
  // |image(i) - image(i + 1)| of a random permutation has mean (n + 1) / 3.
  const uint64_t size = 60'000;
  const KeyedPermutation permuted(size, 3);
  double distance = 0;
  for (uint64_t i = 0; i + 1 < size; ++i) {
    distance += std::abs(static_cast<double>(permuted(i)) - static_cast<double>(permuted(i + 1)));
  }
  EXPECT_NEAR(distance / static_cast<double>(size - 1), (size + 1) / 3.0, 300);
}

}  // namespace
}  // namespace ballast
