#include "tests/support/plain_order.h"

#include "common/base/random.h"

namespace ballast::testing {
namespace {

uint64_t f(uint64_t digit, uint64_t key, uint64_t bound) {
  const uint64_t y = (digit ^ key) * 0xbf58476d1ce4e5b9ull;
  const uint64_t bits = ((y ^ (y >> 32)) * 0x94d049bb133111ebull) >> 32;
  return (bits * bound) >> 32;
}

}  // namespace

uint64_t plain_row(uint64_t seed, uint64_t epoch, uint64_t rows, uint64_t place) {
  const uint64_t key = hash_numbers({seed, 0x6f72646572, epoch});
  uint64_t low = 1;
  while (low * low < rows) ++low;
  const uint64_t high = rows / low + (rows % low > 0 ? 1 : 0);

  uint64_t x = (place + hash_numbers({key, 6}) % rows) % rows;
  do {
    uint64_t left = x / low;
    uint64_t right = x % low;
    for (uint64_t j = 0; j < 6; j += 2) {
      left = (left + f(right, hash_numbers({key, j}), high)) % high;
      right = (right + f(left, hash_numbers({key, j + 1}), low)) % low;
    }
    x = left * low + right;
  } while (x >= rows);
  return x;
}

}  // namespace ballast::testing
