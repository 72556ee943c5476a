// FoldPlan: the additions that fold a set of gradient nodes, in the order of the tree, worked out
// once and then run tile by tile. Internal to this folder. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/vectorize.h"
#include "common/optimizer/fold.h"

namespace ballast {

// Floats of a tile: 4 KiB, so that a tile of weights, state, gradients and partial sums shares a
// first-level cache of 32 KiB.
inline constexpr size_t kTileFloats = 1024;

class FoldPlan {
 public:
  FoldPlan(std::span<const GradientNode> nodes, uint32_t lanes);

  // What the last addition of the tree adds; `right` is null when there is only one node. Whoever
  // reads the sum adds them on the way.
  struct Halves {
    const UnalignedFloat* left = nullptr;
    const UnalignedFloat* right = nullptr;
  };
  // The fold of elements [first, first + count), count <= kTileFloats: a node's own bytes, or a
  // partial sum in `scratch`, which holds scratch_floats().
  [[nodiscard]] Halves run(size_t first, size_t count, float* scratch) const;
  [[nodiscard]] size_t scratch_floats() const { return slot_count_ * kTileFloats; }

 private:
  // A node's bytes, or a tile of the scratch memory.
  struct Operand {
    const std::byte* node = nullptr;
    uint32_t slot = 0;
  };
  struct Addition {  // slot = left + right
    Operand left;
    Operand right;
    uint32_t slot;
  };

  Operand plan(std::span<const GradientNode> nodes, uint32_t low, uint32_t high, uint32_t slot);
  static const UnalignedFloat* locate(const Operand& operand, size_t first, float* scratch);

  std::vector<Addition> additions_;  // all but the last
  Operand left_;                     // of the last addition, or the only node
  std::optional<Operand> right_;
  uint32_t slot_count_ = 0;
};

}  // namespace ballast
