#include "common/optimizer/fold.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/optimizer/fold_plan.h"

namespace ballast {
namespace {

// Out of line: inlined into a loop of other work gcc left such kernels scalar.
[[gnu::noinline]] void add_tile(const UnalignedFloat* left, const UnalignedFloat* right, float* sum,
                                size_t count) {
  BALLAST_INDEPENDENT_ITERATIONS
  for (size_t i = 0; i < count; ++i) sum[i] = left[i] + right[i];
}

void cover(std::span<const uint32_t> owned, uint32_t low, uint32_t high,
           std::vector<LaneRange>& ranges) {
  if (owned.empty()) return;
  if (owned.size() == high - low) {
    ranges.push_back({low, high});
    return;
  }
  const uint32_t middle = (low + high) / 2;
  const auto split = std::lower_bound(owned.begin(), owned.end(), middle) - owned.begin();
  cover(owned.first(split), low, middle, ranges);
  cover(owned.subspan(split), middle, high, ranges);
}

}  // namespace

bool is_tree_node(uint32_t low, uint32_t high, uint32_t lanes) {
  if (low >= high || high > lanes) return false;
  uint32_t node_low = 0;
  uint32_t node_high = lanes;
  while (node_low != low || node_high != high) {
    const uint32_t middle = (node_low + node_high) / 2;
    if (high <= middle) {
      node_high = middle;
    } else if (low >= middle) {
      node_low = middle;
    } else {
      return false;  // straddles the split without being the node
    }
    if (node_high - node_low < high - low) return false;
  }
  return true;
}

std::vector<LaneRange> cover_by_tree_nodes(std::span<const uint32_t> lanes_owned, uint32_t lanes) {
  std::vector<LaneRange> ranges;
  cover(lanes_owned, 0, lanes, ranges);
  return ranges;
}

FoldPlan::FoldPlan(std::span<const GradientNode> nodes, uint32_t lanes) {
  BALLAST_CHECK(!nodes.empty());
  if (nodes.size() == 1) {
    left_ = {nodes[0].data, 0};
    return;
  }
  std::vector<GradientNode> sorted(nodes.begin(), nodes.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.lane_low < b.lane_low; });
  for (size_t i = 0; i < sorted.size(); ++i) {
    BALLAST_CHECK(is_tree_node(sorted[i].lane_low, sorted[i].lane_high, lanes));
    BALLAST_CHECK(i == 0 || sorted[i - 1].lane_high <= sorted[i].lane_low);
  }
  additions_.reserve(sorted.size() - 1);
  plan(sorted, 0, lanes, 0);
  left_ = additions_.back().left;
  right_ = additions_.back().right;
  additions_.pop_back();
}

// `nodes` are those inside [low, high), at least one. Slots below `slot` are in use.
FoldPlan::Operand FoldPlan::plan(std::span<const GradientNode> nodes, uint32_t low, uint32_t high,
                                 uint32_t slot) {
  if (nodes.size() == 1) return {nodes[0].data, 0};  // all others are absent
  const uint32_t middle = (low + high) / 2;
  size_t split = 0;
  while (split < nodes.size() && nodes[split].lane_low < middle) ++split;
  if (split == 0) return plan(nodes, middle, high, slot);
  if (split == nodes.size()) return plan(nodes, low, middle, slot);
  const Operand left = plan(nodes.first(split), low, middle, slot);
  const Operand right = plan(nodes.subspan(split), middle, high, slot + 1);
  additions_.push_back({left, right, slot});
  slot_count_ = std::max(slot_count_, slot + 1);
  return {nullptr, slot};
}

const UnalignedFloat* FoldPlan::locate(const Operand& operand, size_t first, float* scratch) {
  if (operand.node != nullptr) {
    return reinterpret_cast<const UnalignedFloat*>(operand.node + first * sizeof(float));
  }
  return scratch + operand.slot * kTileFloats;
}

FoldPlan::Halves FoldPlan::run(size_t first, size_t count, float* scratch) const {
  for (const Addition& addition : additions_) {
    add_tile(locate(addition.left, first, scratch), locate(addition.right, first, scratch),
             scratch + addition.slot * kTileFloats, count);
  }
  return {locate(left_, first, scratch), right_ ? locate(*right_, first, scratch) : nullptr};
}

void add_into(std::span<float> into, std::span<const float> other) {
  BALLAST_CHECK(into.size() == other.size());
  add_tile(into.data(), other.data(), into.data(), into.size());
}

void fold_gradients(std::span<const GradientNode> nodes, uint32_t lanes, std::span<float> out) {
  const FoldPlan plan(nodes, lanes);
  std::vector<float> scratch(plan.scratch_floats());
  for (size_t first = 0; first < out.size(); first += kTileFloats) {
    const size_t count = std::min(kTileFloats, out.size() - first);
    const FoldPlan::Halves halves = plan.run(first, count, scratch.data());
    if (halves.right != nullptr) {
      add_tile(halves.left, halves.right, out.data() + first, count);
    } else {
      std::memcpy(out.data() + first, halves.left, count * sizeof(float));
    }
  }
}

}  // namespace ballast
