// Blocks that stay in memory when nobody holds them: which go first, and what that spares.
#include "worker/data/kept_blocks.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "common/base/random.h"
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

// What several lanes said, looked through one by one.
struct PlainUses {
  // A block's uses that have been are forgotten as somebody speaks of it.
  void expect(LaneId lane, std::span<const BlockUse> said) {
    for (const BlockUse& use : said) {
      std::erase_if(uses, [&](const auto& known) {
        return known.second.block == use.block && !is_ahead(known.first, known.second);
      });
      uses.emplace_back(lane, use);
    }
  }
  void forget(LaneId lane) {
    passed[lane] = 0;
    std::erase_if(uses, [lane](const auto& known) { return known.first == lane; });
  }
  [[nodiscard]] bool is_ahead(LaneId lane, const BlockUse& use) const {
    const auto found = passed.find(lane);
    return use.when > (found == passed.end() ? 0 : found->second);
  }
  [[nodiscard]] uint64_t next(uint64_t block) const {
    uint64_t soonest = KeptBlocks::kNever;
    for (const auto& [lane, use] : uses) {
      if (use.block == block && is_ahead(lane, use)) soonest = std::min(soonest, use.when);
    }
    return soonest;
  }
  // Of two that are needed at the same time the one with the higher number.
  [[nodiscard]] uint64_t latest(const std::set<uint64_t>& kept) const {
    return *std::ranges::max_element(
        kept, {}, [this](uint64_t block) { return std::pair(next(block), block); });
  }

  std::vector<std::pair<LaneId, BlockUse>> uses;
  std::map<LaneId, uint64_t> passed;
};

TEST(KeptBlocks, OfSeveralLanesThatComeGoAndStepBackAreThoseNeededSoonest) {
  constexpr uint64_t kBlocks = 12;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    KeptBlocks kept(kBlocks);
    PlainUses plain;
    std::set<uint64_t> there;
    for (int step = 0; step < 600; ++step) {
      const LaneId lane(static_cast<uint32_t>(random.below(4)));
      const uint64_t block = random.below(kBlocks);
      const uint64_t now = plain.passed[lane];
      const uint64_t choice = random.below(20);
      if (choice == 0) {
        kept.forget(lane);
        plain.forget(lane);
      } else if (choice < 6) {
        const std::vector<BlockUse> said = {{block, now + 1 + random.below(30)},
                                            {random.below(kBlocks), now + 1 + random.below(30)}};
        kept.expect(lane, said);
        plain.expect(lane, said);
      } else if (choice < 11) {
        plain.passed[lane] = choice == 6 ? now - now / 4 : now + random.below(4);
        kept.passed(lane, plain.passed[lane]);
      } else if (choice < 16 && there.insert(block).second) {
        kept.keep(block, some_block());
      } else if (!there.empty()) {
        const uint64_t latest = plain.latest(there);
        const uint64_t when = choice < 18 ? 0 : plain.next(latest) - random.below(2);
        const bool goes = plain.next(latest) > when;
        ASSERT_EQ(kept.give_up(when).has_value(), goes) << "step " << step;
        if (goes) there.erase(latest);
      }
      for (uint64_t each = 0; each < kBlocks; ++each) {
        ASSERT_EQ(kept.next_use(each), plain.next(each)) << "step " << step;
        ASSERT_EQ(kept.contains(each), there.contains(each)) << "step " << step;
      }
    }
  }
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
        ASSERT_EQ(block->place().first_row, dataset_->block(asked[at]).first_row);
        model.ask(at);
      }

      EXPECT_EQ(store->counters().found, model.found) << "seed " << seed << ", keeps " << keep;
      EXPECT_EQ(store->counters().fetched, asked.size() - model.found);
      EXPECT_EQ(store->counters().over_budget, 0u);
    }
  }
}

// Belady's rule for lanes that go on in step, each holding the block it asked for last.
struct LanesModel {
  size_t places;
  PlainUses uses = {};
  std::map<LaneId, uint64_t> held = {};
  std::set<uint64_t> kept = {};
  uint64_t found = 0;
  uint64_t fetched = 0;

  [[nodiscard]] bool is_held(uint64_t block) const {
    return std::ranges::any_of(held, [block](const auto& each) { return each.second == block; });
  }
  void drop(LaneId lane) {
    const auto had = held.extract(lane);
    if (had && !is_held(had.mapped())) kept.insert(had.mapped());
  }
  void ask(LaneId lane, uint64_t block) {
    std::set<uint64_t> in_hand;
    for (const auto& [other, one] : held) in_hand.insert(one);
    if (kept.erase(block) == 1) {
      ++found;
    } else if (!is_held(block)) {
      if (in_hand.size() + kept.size() == places) kept.erase(uses.latest(kept));
      ++fetched;
    }
    held[lane] = block;
  }
};

TEST_F(KeepingStoreTest, FindsForSeveralLanesAsManyBlocksAsBeladysRule) {
  constexpr uint32_t kLanes = 3;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    for (uint32_t keep : {1u, 4u, 12u, 20u}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", keeps " << keep);
      Random random(seed);
      const auto store = open(kLanes, keep);
      LanesModel model{kLanes + keep};
      std::vector<std::vector<BlockUse>> asked(kLanes);
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        for (uint64_t at = 1; at <= 150; ++at) asked[lane].push_back({random.below(25), at});
        store->expect_uses(LaneId(lane), asked[lane]);
        model.uses.expect(LaneId(lane), asked[lane]);
      }
      std::vector<std::shared_ptr<const Block>> held(kLanes);
      for (uint64_t at = 0; at < 150; ++at) {
        for (uint32_t number = 0; number < kLanes; ++number) {
          const LaneId lane(number);
          const uint64_t block = asked[number][at].block;
          store->passed(lane, at);
          model.uses.passed[lane] = at;
          held[number].reset();
          model.drop(lane);
          held[number] = store->get(block).value();
          model.ask(lane, block);
          ASSERT_EQ(held[number]->place().first_row, dataset_->block(block).first_row);
          ASSERT_EQ(store->counters().fetched, model.fetched) << "time " << at;
        }
      }

      EXPECT_EQ(store->counters().found, model.found);
      EXPECT_EQ(store->counters().over_budget, 0u);
    }
  }
}

TEST_F(KeepingStoreTest, NeverHasMoreThanItsSlotsForSeveralReadersAtOnce) {
  constexpr uint32_t kReaders = 4;
  const auto store = open(kReaders, 3);
  const auto read = [&](uint32_t number) {
    Random random(number);
    std::vector<BlockUse> uses;
    for (uint64_t at = 1; at <= 400; ++at) uses.push_back({random.below(25), at});
    store->expect_uses(LaneId(number), uses);
    for (size_t at = 0; at < uses.size(); ++at) {
      store->passed(LaneId(number), at);
      if (at + 1 < uses.size()) store->prefetch(uses[at + 1].block);
      const auto block = store->get(uses[at].block).value();
      ASSERT_EQ(block->place().first_row, dataset_->block(uses[at].block).first_row);
      ASSERT_EQ(*block->column(0), static_cast<std::byte>(uses[at].block * 50 * 7 % 256));
    }
  };
  {
    std::vector<std::jthread> readers;
    for (uint32_t number = 0; number < kReaders; ++number) readers.emplace_back(read, number);
  }

  EXPECT_EQ(store->counters().over_budget, 0u);
  EXPECT_GT(store->counters().found, 0u);
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
