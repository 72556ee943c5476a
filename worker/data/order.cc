#include "worker/data/order.h"

#include <cmath>

#include "common/base/check.h"
#include "common/base/random.h"

namespace ballast {

namespace {

constexpr uint64_t kOrderStream = 0x6f72646572;  // "order": apart from other uses of the seed

// 32 mixed bits of a digit. Two multiplications (the constants are mix64's): the rounds add up.
uint64_t mixed_bits(uint64_t digit, uint64_t key) {
  uint64_t x = (digit ^ key) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 32)) * 0x94d049bb133111ebull;
  return x >> 32;
}

// (digit + 32 bits scaled to [0, bound)) mod bound, without a division. Digits stay below 2^32
// because sizes stay below 2^63, so the product fits.
uint64_t turned(uint64_t digit, uint64_t bits, uint64_t bound) {
  const uint64_t sum = digit + ((bits * bound) >> 32);
  return sum >= bound ? sum - bound : sum;
}

}  // namespace

KeyedPermutation::KeyedPermutation(uint64_t size, uint64_t key) : size_(size) {
  BALLAST_CHECK(size > 0 && size <= (1ull << 63));
  low_ = static_cast<uint64_t>(std::ceil(std::sqrt(static_cast<double>(size))));
  high_ = (size + low_ - 1) / low_;
  start_ = hash_numbers({key, kRounds}) % size;
  for (int round = 0; round < kRounds; ++round) {
    keys_[round] = hash_numbers({key, static_cast<uint64_t>(round)});
  }
}

uint64_t KeyedPermutation::operator()(uint64_t index) const {
  index = index < size_ - start_ ? index + start_ : index - (size_ - start_);
  // At most low_ - 1 of the high_ * low_ places lie outside: a second walk is rare. It ends,
  // because the cycle that holds `index` comes back to it.
  do {
    index = encipher(index);
  } while (index >= size_);
  return index;
}

uint64_t KeyedPermutation::encipher(uint64_t index) const {
  uint64_t left = index / low_;
  uint64_t right = index % low_;
  for (int round = 0; round < kRounds; round += 2) {
    left = turned(left, mixed_bits(right, keys_[round]), high_);
    right = turned(right, mixed_bits(left, keys_[round + 1]), low_);
  }
  return left * low_ + right;
}

SampleOrder::SampleOrder(Order order, uint64_t rows, uint32_t lanes, uint64_t seed)
    : order_(order), rows_(rows), lanes_(lanes), seed_(seed) {
  BALLAST_CHECK(rows > 0 && lanes > 0);
  BALLAST_CHECK(order == Order::kFull || order == Order::kNone);
}

uint64_t SampleOrder::position(uint64_t epoch, LaneId lane, uint64_t i) const {
  uint64_t row = 0;
  positions(epoch, lane, i, std::span(&row, 1));
  return row;
}

void SampleOrder::positions(uint64_t epoch, LaneId lane, uint64_t first,
                            std::span<uint64_t> rows) const {
  if (rows.empty()) return;
  uint64_t place = lane.value() + first * lanes_;
  BALLAST_CHECK(lane.value() < lanes_ && place + (rows.size() - 1) * lanes_ < rows_);
  const KeyedPermutation permuted(rows_, hash_numbers({seed_, kOrderStream, epoch}));
  for (uint64_t& row : rows) {
    row = order_ == Order::kNone ? place : permuted(place);
    place += lanes_;
  }
}

}  // namespace ballast
