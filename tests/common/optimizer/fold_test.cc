#include "common/optimizer/fold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>

#include "common/base/random.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using Floats = std::vector<float>;

Floats random_floats(Random& random, size_t count) {
  Floats values(count);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

// The rule itself, as the executable model writes it: `slots` by (low, high).
using Slots = std::map<std::pair<uint32_t, uint32_t>, Floats>;
std::optional<Floats> reference_fold(uint32_t low, uint32_t high, const Slots& slots) {
  if (slots.contains({low, high})) return slots.at({low, high});
  if (high - low == 1) return std::nullopt;
  auto left = reference_fold(low, (low + high) / 2, slots);
  auto right = reference_fold((low + high) / 2, high, slots);
  if (!left || !right) return left ? left : right;
  for (size_t i = 0; i < left->size(); ++i) (*left)[i] += (*right)[i];
  return left;
}

std::vector<GradientNode> nodes_of(const Slots& slots) {
  std::vector<GradientNode> nodes;
  for (const auto& [range, values] : slots) {
    nodes.push_back({range.first, range.second, reinterpret_cast<const std::byte*>(values.data())});
  }
  return nodes;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Fold, FollowsTheTreeForAnyLanesAndAnyAbsentLeaves) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto lanes = static_cast<uint32_t>(random.between(1, 20));
    const size_t size = random.chance(0.1) ? 3000 : 1 + random.below(40);
    Slots slots;
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      if (random.chance(0.7)) slots[{lane, lane + 1}] = random_floats(random, size);
    }
    if (slots.empty()) slots[{0, 1}] = random_floats(random, size);
    std::vector<GradientNode> nodes = nodes_of(slots);
    for (size_t i = nodes.size(); i > 1; --i) std::swap(nodes[i - 1], nodes[random.below(i)]);
    Floats sum(size);

    fold_gradients(nodes, lanes, sum);

    ASSERT_TRUE(same_bits(sum, *reference_fold(0, lanes, slots))) << "seed " << seed;
  }
}

TEST(Fold, ANodeOverFilledLeavesIsTheSameBits) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto lanes = static_cast<uint32_t>(random.between(2, 17));
    Slots leaves, merged;
    std::vector<uint32_t> present, owned;  // one worker owns some of the present lanes
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      if (lane > 0 && random.chance(0.2)) continue;
      leaves[{lane, lane + 1}] = random_floats(random, 33);
      present.push_back(lane);
      if (random.chance(0.6)) owned.push_back(lane);
    }
    for (uint32_t lane : present) merged[{lane, lane + 1}] = leaves[{lane, lane + 1}];
    for (const LaneRange& range : cover_by_tree_nodes(owned, lanes)) {
      Slots part;
      for (uint32_t lane = range.low; lane < range.high; ++lane) {
        part[{lane, lane + 1}] = leaves[{lane, lane + 1}];
        merged.erase({lane, lane + 1});
      }
      merged[{range.low, range.high}] = *reference_fold(range.low, range.high, part);
    }
    Floats of_leaves(33), of_nodes(33);

    fold_gradients(nodes_of(leaves), lanes, of_leaves);
    fold_gradients(nodes_of(merged), lanes, of_nodes);

    ASSERT_TRUE(same_bits(of_leaves, of_nodes)) << "seed " << seed;
  }
}

TEST(Fold, TakesNodesOfAnyAlignment) {
  Random random(3);
  const Floats left = random_floats(random, 100), right = random_floats(random, 100);
  std::vector<std::byte> memory(2000);
  std::memcpy(memory.data() + 13, left.data(), 400);
  std::memcpy(memory.data() + 1001, right.data(), 400);
  const std::vector<GradientNode> nodes = {{0, 1, memory.data() + 13},
                                           {1, 2, memory.data() + 1001}};
  Floats sum(100);

  fold_gradients(nodes, 2, sum);

  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(sum[i], left[i] + right[i]);
}

TEST(Fold, OrderOfAdditionsMatters) {
  // ((a + b) + (c + d)) differs from (((a + b) + c) + d): the tests above can fail.
  const Slots slots = {{{0, 1}, {1e8f}}, {{1, 2}, {-1e8f}}, {{2, 3}, {1e8f}}, {{3, 4}, {1.0f}}};
  Floats sum(1);
  fold_gradients(nodes_of(slots), 4, sum);
  EXPECT_EQ(sum[0], 1e8f);  // 1e8 + 1 rounds to 1e8

  const Slots moved = {{{0, 1}, {1e8f}}, {{1, 2}, {1.0f}}, {{2, 3}, {-1e8f}}, {{3, 4}, {1.0f}}};
  fold_gradients(nodes_of(moved), 4, sum);
  EXPECT_EQ(sum[0], 0.0f);
}

TEST(TreeNode, IsOneOfTheHalvings) {
  EXPECT_TRUE(is_tree_node(0, 8, 8));
  EXPECT_TRUE(is_tree_node(4, 6, 8));
  EXPECT_TRUE(is_tree_node(7, 8, 8));
  EXPECT_FALSE(is_tree_node(1, 3, 8));
  EXPECT_FALSE(is_tree_node(0, 3, 8));
  EXPECT_FALSE(is_tree_node(3, 3, 8));
  EXPECT_FALSE(is_tree_node(5, 4, 8));
  EXPECT_FALSE(is_tree_node(0, 9, 8));
  EXPECT_TRUE(is_tree_node(0, 1, 3));  // 3 splits into 1 and 2
  EXPECT_TRUE(is_tree_node(1, 3, 3));
  EXPECT_FALSE(is_tree_node(0, 2, 3));
}

TEST(TreeNode, CoverIsTheFewestNodes) {
  const std::vector<uint32_t> all = {0, 1, 2, 3}, middle = {1, 2}, mixed = {0, 2, 3};
  EXPECT_THAT(cover_by_tree_nodes(all, 4), ElementsAre(LaneRange{0, 4}));
  EXPECT_THAT(cover_by_tree_nodes(middle, 4), ElementsAre(LaneRange{1, 2}, LaneRange{2, 3}));
  EXPECT_THAT(cover_by_tree_nodes(mixed, 4), ElementsAre(LaneRange{0, 1}, LaneRange{2, 4}));
  EXPECT_THAT(cover_by_tree_nodes({}, 4), ElementsAre());
}

TEST(TreeNode, EveryCoverIsMadeOfTreeNodesAndCoversOnce) {
  for (uint32_t lanes = 1; lanes <= 12; ++lanes) {
    for (uint32_t mask = 0; mask < (1u << lanes); ++mask) {
      std::vector<uint32_t> owned, covered;
      for (uint32_t lane = 0; lane < lanes; ++lane) {
        if (mask >> lane & 1) owned.push_back(lane);
      }
      for (const LaneRange& range : cover_by_tree_nodes(owned, lanes)) {
        ASSERT_TRUE(is_tree_node(range.low, range.high, lanes));
        for (uint32_t lane = range.low; lane < range.high; ++lane) covered.push_back(lane);
      }
      ASSERT_EQ(owned, covered);
    }
  }
}

}  // namespace
}  // namespace ballast
