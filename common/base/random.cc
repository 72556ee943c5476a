#include "common/base/random.h"

#include <cmath>

#include "common/base/check.h"

namespace ballast {

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
