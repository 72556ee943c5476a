#include "common/base/random.h"

#include <bit>
#include <cmath>

#include "common/base/check.h"

namespace ballast {

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) {
    seed = mix64(seed);
    word = seed;
  }
}

uint64_t Random::next() {
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

uint64_t Random::below(uint64_t bound) {
  BALLAST_CHECK(bound > 0);
  const uint64_t reject_below = (0 - bound) % bound;
  while (true) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(next()) * bound;
    if (static_cast<uint64_t>(product) >= reject_below) return static_cast<uint64_t>(product >> 64);
  }
}

int64_t Random::between(int64_t low, int64_t high) {
  BALLAST_CHECK(low <= high);
  return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
}

double Random::normal() {
  while (true) {
    const double u = 2 * uniform() - 1;
    const double v = 2 * uniform() - 1;
    const double s = u * u + v * v;
    if (s > 0 && s < 1) return u * std::sqrt(-2 * std::log(s) / s);
  }
}

}  // namespace ballast
