// Fold: the sum of lane gradients over the fixed binary tree of lanes. The tree over [low, high)
// splits at (low + high) / 2, rounded down; a node is the sum of its two halves, an absent leaf is
// skipped. So the sum has the same bits whoever owns the lanes and whether leaves or whole nodes
// arrive. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ballast {

// The sum of the gradients of lanes [lane_low, lane_high), a node of the tree; a node that comes
// alone may be any sum (an asynchronous push). `data` points at little-endian floats of
// any alignment (a received frame lies where the network put it); borrowed for the call.
struct GradientNode {
  uint32_t lane_low = 0;
  uint32_t lane_high = 0;
  const std::byte* data = nullptr;
};

// Whether [low, high) is a node of the tree over [0, lanes).
[[nodiscard]] bool is_tree_node(uint32_t low, uint32_t high, uint32_t lanes);

// The fewest tree nodes that cover exactly the given lanes (ascending, each once): what a worker
// that owns them may send instead of leaves when all of them are present. Pairs [low, high).
struct LaneRange {
  uint32_t low = 0;
  uint32_t high = 0;
  bool operator==(const LaneRange&) const = default;
};
[[nodiscard]] std::vector<LaneRange> cover_by_tree_nodes(std::span<const uint32_t> lanes_owned,
                                                         uint32_t lanes);

// into[i] += other[i]: how a worker sums two halves of a tree node. The left half is `into`.
void add_into(std::span<float> into, std::span<const float> other);

// out = the fold of `nodes` over [0, lanes). At least one node; each is a tree node; none overlap;
// any order. One pass over tiles that stay in the first-level cache.
void fold_gradients(std::span<const GradientNode> nodes, uint32_t lanes, std::span<float> out);

}  // namespace ballast
