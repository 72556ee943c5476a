// The sample order once more, written from worker/data/order.h and sharing only the hash with it:
// slow and obvious. Pure.
#pragma once

#include <cstdint>

namespace ballast::testing {

// P(place): the row at a place of the order `full` of an epoch over `rows` rows. place < rows.
[[nodiscard]] uint64_t plain_row(uint64_t seed, uint64_t epoch, uint64_t rows, uint64_t place);

}  // namespace ballast::testing
