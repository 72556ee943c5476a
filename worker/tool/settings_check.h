// Settings that a job may have but that cannot be meant. Pure; any thread.
#pragma once

#include "common/config/job_config.h"
#include "worker/tool/finding.h"

namespace ballast {

// Notes only. `job` is resolved and its model checked.
[[nodiscard]] Findings judge_settings(const JobConfig& job);

}  // namespace ballast
