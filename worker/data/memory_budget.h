// What the loaders of one worker keep in memory, and the refusal when that is more than
// data.memory_mib. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"

namespace ballast {

// How many steps a loader makes ahead: one being made while one waits.
inline constexpr uint32_t kStepsAhead = 2;

struct LoaderMemory {
  uint64_t train_rows = 0;
  uint64_t train_row_bytes = 0;  // stored bytes of the columns used
  uint64_t test_rows = 0;
  uint64_t test_row_bytes = 0;
  uint64_t batch_bytes = 0;  // one pooled batch of the largest step
  uint32_t batches = 0;      // ahead, in the loader threads' hands, and with the worker

  // The largest number if the sum does not fit in 64 bits.
  [[nodiscard]] uint64_t total() const;
  // The sum written out, in bytes and MiB.
  [[nodiscard]] std::string to_string() const;
  // kInvalidInput: total() is more than `memory_mib`; says the sum and the least value that works.
  [[nodiscard]] Status check(uint64_t memory_mib) const;
};

// Of one worker of the job, whichever lanes it will own. `config` is resolved.
[[nodiscard]] LoaderMemory loader_memory(const JobConfig& config, const LaneSchedule& schedule);

}  // namespace ballast
