#include "common/compute/segments.h"

#include <gmock/gmock.h>

#include <map>
#include <vector>

#include "common/base/random.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Numbers = std::vector<uint32_t>;

struct Owned {
  Numbers rows, starts{0};
  std::vector<float> scales;

  bool operator==(const Owned&) const = default;
};

// Turned round: by row, of which there are `count`.
Owned turned(const Owned& from, uint32_t count) {
  Owned to{Numbers(from.rows.size(), 99), Numbers(count + 1, 99),
           std::vector<float>(from.scales.size())};
  turn_segments({from.rows, from.starts, from.scales}, {to.rows, to.starts, to.scales});
  return to;
}

TEST(TurnSegments, GroupsItemsByRowInTheirOrder) {
  const Owned bags{{2, 0, 2, 2, 1}, {0, 2, 2, 4, 5}, {1, 2, 3, 4, 5}};

  const Owned by_row = turned(bags, 4);

  EXPECT_THAT(by_row.starts, ElementsAre(0, 1, 2, 5, 5));
  EXPECT_THAT(by_row.rows, ElementsAre(0, 3, 0, 2, 2));
  EXPECT_THAT(by_row.scales, ElementsAre(2, 5, 1, 3, 4));
}

TEST(TurnSegments, HasNoScalesWhereThereAreNone) {
  const Owned by_row = turned({{1, 0}, {0, 1, 2}, {}}, 2);

  EXPECT_THAT(by_row.rows, ElementsAre(1, 0));
  EXPECT_THAT(by_row.scales, IsEmpty());
}

TEST(TurnSegments, TurnsWhatIsEmpty) {
  EXPECT_EQ(turned({{}, {0}, {}}, 0), (Owned{{}, {0}, {}}));
  EXPECT_EQ(turned({{}, {0, 0, 0}, {}}, 3), (Owned{{}, {0, 0, 0, 0}, {}}));
  EXPECT_EQ(turned({{}, {0, 0}, {}}, 0), (Owned{{}, {0}, {}}));
}

// seed -> bags of 0 to 4 items, of few rows, so that a bag has some of them twice.
Owned random_bags(uint64_t seed, uint32_t rows) {
  Random random(seed);
  Owned bags;
  const uint64_t count = random.below(20);
  for (uint64_t s = 0; s < count; ++s) {
    for (uint64_t k = random.below(5); k > 0; --k) {
      bags.rows.push_back(static_cast<uint32_t>(random.below(rows)));
      bags.scales.push_back(static_cast<float>(bags.scales.size()));
    }
    bags.starts.push_back(static_cast<uint32_t>(bags.rows.size()));
  }
  return bags;
}

TEST(TurnSegments, IsWhatAMapByRowGives) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    const uint32_t rows = 1 + static_cast<uint32_t>(seed % 17);
    const Owned bags = random_bags(seed, rows);
    std::multimap<uint32_t, std::pair<uint32_t, float>> by_row;  // equal keys: as inserted
    for (uint32_t s = 0; s + 1 < bags.starts.size(); ++s) {
      for (uint32_t k = bags.starts[s]; k < bags.starts[s + 1]; ++k) {
        by_row.emplace(bags.rows[k], std::pair(s, bags.scales[k]));
      }
    }
    Owned expected;
    for (uint32_t row = 0; row < rows; ++row) {
      const auto [first, last] = by_row.equal_range(row);
      for (auto item = first; item != last; ++item) {
        expected.rows.push_back(item->second.first);
        expected.scales.push_back(item->second.second);
      }
      expected.starts.push_back(static_cast<uint32_t>(expected.rows.size()));
    }

    EXPECT_EQ(turned(bags, rows), expected);
  }
}

// Within a bag, items come back by ascending row; turned round a third time, nothing changes.
TEST(TurnSegments, TurnedTwiceHasTheSameItemsInEachSegment) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    const Owned bags = random_bags(seed, 9);
    const auto count = static_cast<uint32_t>(bags.starts.size() - 1);

    const Owned by_row = turned(bags, 9);
    const Owned back = turned(by_row, count);

    EXPECT_EQ(back.starts, bags.starts);
    EXPECT_EQ(turned(back, 9), by_row);
    for (uint32_t s = 0; s < count; ++s) {
      std::vector<std::pair<uint32_t, float>> had, has;
      for (uint32_t k = bags.starts[s]; k < bags.starts[s + 1]; ++k) {
        had.emplace_back(bags.rows[k], bags.scales[k]);
        has.emplace_back(back.rows[k], back.scales[k]);
      }
      std::ranges::sort(had);
      EXPECT_EQ(has, had);
    }
  }
}

TEST(TurnSegmentsDeathTest, ARowThatIsNotThereIsFound) {
  EXPECT_DEATH(turned({{3}, {0, 1}, {}}, 3), "row < ");
}

TEST(TurnSegmentsDeathTest, RefusesStartsThatFallOrPointBeyondTheItems) {
  EXPECT_DEATH(turned({{0, 0, 0}, {0, 5, 3}, {}}, 1), "check failed");
  EXPECT_DEATH(turned({{0, 0, 0}, {0, 2, 1, 3}, {}}, 1), "check failed");
}

}  // namespace
}  // namespace ballast
