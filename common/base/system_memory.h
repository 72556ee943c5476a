// How much memory this process may have: the machine's, or the control group's where that is less.
// Reads /proc and /sys; any thread.
#pragma once

#include <cstdint>

namespace ballast {

// All there is. The largest number where the system does not say.
[[nodiscard]] uint64_t memory_limit_bytes();
// What is left of it now.
[[nodiscard]] uint64_t available_memory_bytes();

}  // namespace ballast
