// How many cores this process may use: the less of its affinity and of the quota of its control
// group. Reads /proc and /sys; any thread.
#pragma once

#include <cstdint>

namespace ballast {

// At least 1; a quota of 1.5 cores counts as 2.
[[nodiscard]] uint32_t usable_cores();

}  // namespace ballast
