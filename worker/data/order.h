// SampleOrder: which row of the data set is the i-th sample of a lane in an epoch. A pure function
// of (seed, epoch, lane, i): who owns the lanes, how many workers there are and where a job was
// resumed do not enter. O(1) memory and O(1) set-up; any thread.
//
// The rows of an epoch are put into a keyed order, and place p of that order belongs to lane
// p mod lanes, so that lane lengths agree with LaneSchedule::lane_rows and one step takes
// neighbouring places: sample i of a lane is at place lane + i * lanes. `full`: the order is a
// keyed permutation of all rows, place p holds row P(p) under the key H(seed, 0x6f72646572, epoch),
// H being hash_numbers and the number the letters "order"; `none`: it is the stored order.
#pragma once

#include <cstdint>
#include <span>

#include "common/base/ids.h"
#include "common/config/job_config.h"

namespace ballast {

// A keyed permutation of 0 .. size-1: a Feistel network over two unequal digits with cycle walking
// (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Not a secret: it has
// to mix, not to hide. P(x), in 64-bit numbers without sign, is:
//   low = ceil(sqrt(size)), the root as a double;  high = ceil(size / low)
//   x = (x + H(key, 6) mod size) mod size
//   do:  left = x / low;  right = x mod low
//        for j = 0, 2, 4:  left = (left + f(right, H(key, j), high)) mod high
//                          right = (right + f(left, H(key, j + 1), low)) mod low
//        x = left * low + right
//   while x >= size
// with f(digit, k, bound) = bits * bound / 2^32 of y = (digit xor k) * 0xbf58476d1ce4e5b9 and
// bits = ((y xor (y / 2^32)) * 0x94d049bb133111eb) / 2^32; divisions round down.
class KeyedPermutation {
 public:
  // 0 < size <= 2^63.
  KeyedPermutation(uint64_t size, uint64_t key);

  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] uint64_t operator()(uint64_t index) const;

 private:
  static constexpr int kRounds = 6;

  [[nodiscard]] uint64_t encipher(uint64_t index) const;

  uint64_t size_;
  uint64_t high_;  // index = left * low_ + right, left < high_, right < low_
  uint64_t low_;   // high_ * low_ >= size_, as near as whole numbers allow
  uint64_t
      start_;  // added to every index first: each lands anywhere equally often, also for tiny sizes
  uint64_t keys_[kRounds];
};

class SampleOrder {
 public:
  SampleOrder(Order order, uint64_t rows, uint32_t lanes, uint64_t seed);

  // The row that is sample i of the lane; i < LaneSchedule::lane_rows(lane).
  [[nodiscard]] uint64_t position(uint64_t epoch, LaneId lane, uint64_t i) const;
  // The same for i = first, first + 1 ...: one key set-up for the whole span.
  void positions(uint64_t epoch, LaneId lane, uint64_t first, std::span<uint64_t> rows) const;

 private:
  Order order_;
  uint64_t rows_;
  uint32_t lanes_;
  uint64_t seed_;
};

}  // namespace ballast
