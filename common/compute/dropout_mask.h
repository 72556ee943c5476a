// DropoutMask: which elements dropout keeps, and what they are multiplied by; the same on every
// device, so that whoever computes a lane drops the same values. 32 random bits an element, kept
// when they are >= rate * 2^32: the low half (even columns) and the high half (odd columns) of
// mix64(row key ^ (column / 2)), with the row key hash_numbers({seed, batch, lane, layer, row}).
// Two elements a hash, no state. Pure; any thread, also of a GPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/compute/backend.h"

namespace ballast {

class DropoutMask {
 public:
  // rate in [0, 1).
  DropoutMask(double rate, const DropoutKey& key)
      : all_but_row_(hash_numbers({key.seed, key.batch, key.lane, key.layer})),
        threshold_(static_cast<uint32_t>(std::min(std::round(rate * 0x1.0p32), 0x1.0p32 - 1))),
        scale_(static_cast<float>(1 / (1 - rate))) {
    BALLAST_CHECK(rate >= 0 && rate < 1);
  }

  [[nodiscard]] constexpr uint64_t row_key(uint64_t row) const {
    return hash_one_more(all_but_row_, row);
  }
  // Of the columns 2 * pair and 2 * pair + 1.
  [[nodiscard]] static constexpr uint64_t bits_of(uint64_t row_key, uint32_t pair) {
    return mix64(row_key ^ pair);
  }
  [[nodiscard]] constexpr float even(uint64_t bits, float x) const {
    return static_cast<uint32_t>(bits) >= threshold_ ? x * scale_ : 0.0f;
  }
  [[nodiscard]] constexpr float odd(uint64_t bits, float x) const {
    return static_cast<uint32_t>(bits >> 32) >= threshold_ ? x * scale_ : 0.0f;
  }

 private:
  uint64_t all_but_row_;
  uint32_t threshold_;
  float scale_;
};

}  // namespace ballast
