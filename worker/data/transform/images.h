// Random changes of pictures, for training: crop, flip, rotate, shift. A row is a picture of height
// x width pixels of some channels, as floats; what comes out has the same size. Pure: see stage.h.
#pragma once

#include <cstdint>

#include "worker/data/transform/stage.h"

namespace ballast {

struct Picture {
  uint32_t height = 0;
  uint32_t width = 0;
  uint32_t channels = 1;
  PixelLayout layout = PixelLayout::kHwc;

  [[nodiscard]] uint64_t size() const { return uint64_t{height} * width * channels; }
  [[nodiscard]] uint64_t at(uint32_t y, uint32_t x, uint32_t c) const {
    return layout == PixelLayout::kHwc ? (uint64_t{y} * width + x) * channels + c
                                       : (uint64_t{c} * height + y) * width + x;
  }
};

// kInvalidInput: `shape` is not that of the column's values.
[[nodiscard]] Result<Stage> image_stage(const TransformConfig& transform, uint64_t index,
                                        uint64_t seed, const ChainState& state);

}  // namespace ballast
