// `ballast-tool doctor`: what would keep a job from running, said before step 0. One thread.
#pragma once

#include <functional>
#include <ostream>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/tool/finding.h"
#include "worker/tool/host_facts.h"
#include "worker/tool/resolve_command.h"

namespace ballast {

// What the machine lacks for the job. Pure. `job` is resolved.
[[nodiscard]] Findings judge_host(const JobConfig& job, const HostFacts& facts);

// What is wrong with the data of a resolved job: judge_data (data_check.h), or a test's own.
using DataJudge = std::function<Findings(const JobConfig&)>;

// Prints one line a problem, then one a note, then the memory sum. kInvalidInput: there are
// problems; how many.
Status run_doctor(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                  const DataJudge& judge_data, std::ostream& out);

}  // namespace ballast
