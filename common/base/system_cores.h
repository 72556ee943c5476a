// How many cores this process may use: the less of its affinity and of the quota of its control
// group. Reads /proc and /sys; any thread.
#pragma once

#include <cstdint>
#include <string>

namespace ballast {

// At least 1; a quota of 1.5 cores counts as 2.
[[nodiscard]] uint32_t usable_cores();

// What usable_cores() is made of. The quota of the control groups v2 or v1 whose files stand in
// `folder`, as they do in /sys/fs/cgroup; 0: none.
[[nodiscard]] double quota_cores(const std::string& folder);
[[nodiscard]] uint32_t cores_within(uint32_t cores, double quota);

}  // namespace ballast
