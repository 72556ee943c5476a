// `ballast-tool doctor`: what would keep a job from running, said before step 0. One thread.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/tool/host_facts.h"
#include "worker/tool/resolve_command.h"

namespace ballast {

struct Finding {
  bool stops = true;  // false: it will run, but slower or less sure than it could
  std::string text;
};

// What the machine lacks for the job. Pure. `job` is resolved.
[[nodiscard]] std::vector<Finding> judge_host(const JobConfig& job, const HostFacts& facts);

// Prints one line a problem, then one a note, then the memory sum. kInvalidInput: there are
// problems; how many.
Status run_doctor(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                  std::ostream& out);

}  // namespace ballast
