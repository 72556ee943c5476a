// ResumeSource: what `run --resume RUNDIR` would go on from. Reads the run directory; one thread.
#pragma once

#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/storage/checkpoint.h"

namespace ballast {

struct ResumeSource {
  uint64_t checkpoint = 0;
  uint64_t step = 0;
  std::string config;            // of the run as that checkpoint knows it, TOML
  std::string folder;            // of the checkpoint
  std::vector<Status> rejected;  // newer checkpoints that are damaged, newest first
};

// kNotFound: no such folder, no run in it, or no checkpoint; kDataLoss: checkpoints, but none is
// whole. Each says what to do instead.
[[nodiscard]] Result<ResumeSource> find_resume_source(const std::string& run_dir);

// kInvalidInput: the run is going on. For who looks on; a launcher holds the lock itself.
[[nodiscard]] Status check_not_running(const std::string& run_dir);

// "checkpoint 20 at step 20 (DIR)".
[[nodiscard]] std::string to_string(const ResumeSource& source);

}  // namespace ballast
