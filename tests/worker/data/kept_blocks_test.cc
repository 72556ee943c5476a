// Blocks that stay in memory when nobody holds them: which go first, and what that spares.
#include "worker/data/kept_blocks.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/block_store.h"
#include "worker/data/resolve_shapes.h"

namespace ballast {
namespace {

constexpr LaneId kFirst{0}, kSecond{1};

KeptBlocks::Kept some_block() {
  return {std::make_shared<Block>()};
}

// The numbers of the blocks as they are given up.
std::vector<uint64_t> given_up(KeptBlocks& kept) {
  std::set<uint64_t> left;
  for (uint64_t block = 0; block < 10; ++block) {
    if (kept.contains(block)) left.insert(block);
  }
  std::vector<uint64_t> order;
  while (kept.give_up(0)) {
    for (uint64_t block : std::set(left)) {
      if (kept.contains(block)) continue;
      order.push_back(block);
      left.erase(block);
    }
  }
  return order;
}

class KeptBlocksTest : public testing::Test {
 protected:
  void keep_three() {
    for (uint64_t block : {1, 2, 3}) kept_.keep(block, some_block());
  }

  KeptBlocks kept_{10};
};

TEST_F(KeptBlocksTest, GiveUpWhatIsNeededLatestAndFirstWhatNobodyNeeds) {
  kept_.expect(kFirst, std::vector<BlockUse>{{1, 5}, {3, 9}});
  keep_three();

  EXPECT_EQ(given_up(kept_), (std::vector<uint64_t>{2, 3, 1}));
}

TEST_F(KeptBlocksTest, GoByTheSoonestUseOfAllLanesThatIsStillAhead) {
  keep_three();
  kept_.expect(kFirst, std::vector<BlockUse>{{1, 3}, {1, 8}, {2, 7}, {3, 6}});
  kept_.expect(kSecond, std::vector<BlockUse>{{2, 4}});
  kept_.passed(kFirst, 3);

  EXPECT_EQ(kept_.next_use(1), 8u);
  EXPECT_EQ(kept_.next_use(2), 4u);
  EXPECT_EQ(given_up(kept_), (std::vector<uint64_t>{1, 3, 2}));
}

TEST_F(KeptBlocksTest, HaveNoUseForALaneThatWent) {
  keep_three();
  kept_.expect(kFirst, std::vector<BlockUse>{{1, 3}, {2, 5}});
  kept_.expect(kSecond, std::vector<BlockUse>{{2, 7}, {3, 4}});

  kept_.forget(kFirst);

  EXPECT_EQ(kept_.next_use(1), KeptBlocks::kNever);
  EXPECT_EQ(given_up(kept_), (std::vector<uint64_t>{1, 2, 3}));
}

TEST_F(KeptBlocksTest, GiveNothingUpForWhatIsNeededLater) {
  keep_three();
  kept_.expect(kFirst, std::vector<BlockUse>{{1, 3}, {2, 5}, {3, 4}});

  EXPECT_FALSE(kept_.give_up(5));
  EXPECT_TRUE(kept_.give_up(4));
  EXPECT_FALSE(kept_.contains(2));
}

TEST_F(KeptBlocksTest, KeepNothingForAUseThatHasBeen) {
  keep_three();
  kept_.expect(kFirst, std::vector<BlockUse>{{1, 3}, {2, 5}, {3, 6}});

  kept_.passed(kFirst, 4);

  EXPECT_EQ(given_up(kept_), (std::vector<uint64_t>{1, 3, 2}));
}

// A plain model: every place is full of the blocks that are needed soonest.
struct Belady {
  size_t places;
  const std::vector<uint64_t>& asked;
  std::set<uint64_t> there;
  uint64_t found = 0;

  void ask(size_t at) {
    if (there.contains(asked[at])) {
      ++found;
      return;
    }
    if (there.size() == places) {
      there.erase(*std::ranges::max_element(there, {}, [&](uint64_t block) {
        return std::find(asked.begin() + static_cast<ptrdiff_t>(at) + 1, asked.end(), block) -
               asked.begin();
      }));
    }
    there.insert(asked[at]);
  }
};

class KeepingStoreTest : public DataFixture {
 protected:
  void SetUp() override {
    dataset_ = open_filled_dataset(write_pixels("train", 1230, 33)).value();  // 25 blocks
    DataConfig config;
    config.features = {"pixels"};
    plan_ = plan_rows(*dataset_, config).value();
  }
  std::unique_ptr<BlockStore> open(uint32_t slots, uint32_t slots_to_keep) {
    auto source = open_source(dataset_->folder(), {}).value();
    return BlockStore::open(dataset_, plan_, std::move(source), slots, slots_to_keep).value();
  }

  std::shared_ptr<const Dataset> dataset_;
  RowPlan plan_;
};

TEST_F(KeepingStoreTest, FindsAsManyBlocksAsBeladysRule) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint64_t> asked(400);
    for (uint64_t& block : asked) block = random() % 25;
    std::vector<BlockUse> uses;
    for (size_t at = 0; at < asked.size(); ++at) uses.push_back({asked[at], at + 1});
    for (uint32_t keep : {1u, 4u, 12u, 23u, 24u}) {
      const auto store = open(1, keep);
      Belady model{1 + keep, asked, {}};
      store->expect_uses(kFirst, uses);

      for (size_t at = 0; at < asked.size(); ++at) {
        store->passed(kFirst, at);
        const auto block = store->get(asked[at]).value();
        ASSERT_EQ(&block->place(), &dataset_->block(asked[at]));
        model.ask(at);
      }

      EXPECT_EQ(store->counters().found, model.found) << "seed " << seed << ", keeps " << keep;
      EXPECT_EQ(store->counters().fetched, asked.size() - model.found);
      EXPECT_EQ(store->counters().over_budget, 0u);
    }
  }
}

TEST_F(KeepingStoreTest, KeepsNothingWithoutSlotsForIt) {
  const auto store = open(25, 0);
  for (int again = 0; again < 2; ++again) {
    for (uint64_t block = 0; block < 25; ++block) ASSERT_TRUE(store->get(block).ok());
  }

  EXPECT_EQ(store->counters().fetched, 50u);
  EXPECT_EQ(store->counters().found, 0u);
}

TEST_F(KeepingStoreTest, CountsABlockThatWasReadAheadAsRead) {
  const auto store = open(2, 2);
  store->prefetch(3);
  ASSERT_TRUE(store->get(3).ok());
  EXPECT_EQ(store->counters().found, 0u);

  ASSERT_TRUE(store->get(3).ok());

  EXPECT_EQ(store->counters().found, 1u);
  EXPECT_EQ(store->counters().fetched, 1u);
}

TEST_F(KeepingStoreTest, ReadsAheadOnlyInPlaceOfWhatIsNeededLater) {
  const auto store = open(1, 1);
  store->expect_uses(kFirst, std::vector<BlockUse>{{0, 1}, {1, 2}, {2, 3}, {3, 1}});
  ASSERT_TRUE(store->get(1).ok());
  ASSERT_TRUE(store->get(2).ok());

  store->prefetch(4);  // nobody has said that it is needed
  store->prefetch(3);
  ASSERT_TRUE(store->get(3).ok());
  ASSERT_TRUE(store->get(1).ok());

  EXPECT_EQ(store->counters().fetched, 3u);
  EXPECT_EQ(store->counters().found, 1u);
}

TEST_F(KeepingStoreTest, LendsABlockToManyAndKeepsItAfterTheLast) {
  const auto store = open(1, 1);
  auto one = store->get(7).value();
  auto two = store->get(7).value();
  EXPECT_EQ(one->column(0), two->column(0));
  one.reset();
  two.reset();

  ASSERT_TRUE(store->get(7).ok());

  EXPECT_EQ(store->counters().fetched, 1u);
  EXPECT_EQ(store->counters().found, 1u);
}

TEST_F(KeepingStoreTest, LetsBlocksOutliveTheStore) {
  auto store = open(1, 1);
  const auto held = store->get(7).value();
  ASSERT_TRUE(store->get(8).ok());
  store.reset();

  EXPECT_EQ(*held->column(0), static_cast<std::byte>(7 * 50 * 7 % 256));
}

}  // namespace
}  // namespace ballast
