// Rules between the keys of a job: what no single key's range can say. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

struct JobProblem {
  std::vector<std::string> keys;  // paths the problem is about, the one to change first
  std::string text;
};

// Every broken rule, in the order of the key table. Empty: the job is sound.
[[nodiscard]] std::vector<JobProblem> find_problems(const JobConfig& job);

// The same as one status (kInvalidInput), one problem a line.
Status check_job(const JobConfig& job);

}  // namespace ballast
