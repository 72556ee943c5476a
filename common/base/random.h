// Our own random numbers: the same on every platform and library version, because seeds must replay
// and bits must be equal. No std:: distribution is used anywhere. Pure values; any thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>

#include "common/base/check.h"

namespace ballast {

// SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014; constants of Stafford's mix 13).
[[nodiscard]] constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A counter-based generator: a pure function of a key and positions, so that dropout and initial
// weights do not depend on who computes them or in which order.
// hash_one_more(hash_numbers({a, b}), c) == hash_numbers({a, b, c}).
[[nodiscard]] constexpr uint64_t hash_one_more(uint64_t state, uint64_t number) {
  return mix64(state ^ mix64(number));
}
[[nodiscard]] constexpr uint64_t hash_numbers(std::initializer_list<uint64_t> numbers) {
  uint64_t state = 0x243f6a8885a308d3ull;
  for (uint64_t number : numbers) state = hash_one_more(state, number);
  return state;
}

// 64 random bits -> [0, 1) with 24 bits for float, 53 for double: every value is exact.
[[nodiscard]] constexpr float unit_float(uint64_t bits) {
  return static_cast<float>(bits >> 40) * 0x1.0p-24f;
}
[[nodiscard]] constexpr double unit_double(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

// xoshiro256** (Blackman and Vigna, 2018): a sequential generator for simulations and tests.
class Random {
 public:
  // Inline: an object whose constructor is elsewhere may be known elsewhere, and its state would go
  // through memory beside every number that a loop writes.
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed = mix64(seed);
      word = seed;
    }
  }

  [[nodiscard]] uint64_t next();
  // Uniform in [0, bound), bound > 0, without modulo bias (Lemire, 2019).
  [[nodiscard]] uint64_t below(uint64_t bound);
  // Uniform in [low, high], both included.
  [[nodiscard]] int64_t between(int64_t low, int64_t high);
  [[nodiscard]] double uniform() { return unit_double(next()); }
  [[nodiscard]] bool chance(double probability) { return uniform() < probability; }
  // Standard normal (Marsaglia's polar method, without caching the second value).
  [[nodiscard]] double normal();

 private:
  std::array<uint64_t, 4> state_;
};

inline uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

// A product whose low half lies below 2^64 mod bound is drawn again (Lemire, "Fast random integer
// generation in an interval", 2019). That number is below bound: a low half that is not needs no
// division.
inline uint64_t Random::below(uint64_t bound) {
  BALLAST_CHECK(bound > 0);
  while (true) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(next()) * bound;
    const auto low = static_cast<uint64_t>(product);
    if (low >= bound || low >= (0 - bound) % bound) return static_cast<uint64_t>(product >> 64);
  }
}

}  // namespace ballast
