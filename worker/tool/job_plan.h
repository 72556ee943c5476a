// What a job will be, in words: its layers, where its units go, what it needs of memory. Pure; any
// thread.
#pragma once

#include <string>

#include "common/config/job_config.h"

namespace ballast {

// "server: weights 2 x 1.0 MiB + ... = 5.0 MiB, 2 of them", the same for a worker, and the sum.
[[nodiscard]] std::string describe_memory(const JobConfig& job);

// Rows, steps, layers, units per shard, memory. `job` is resolved and checked.
[[nodiscard]] std::string describe_plan(const JobConfig& job);

}  // namespace ballast
