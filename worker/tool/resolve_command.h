// `ballast-tool resolve`: from a job file to the effective config every process of the job reads.
// Reads and writes files; one thread.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

// Fills JobConfig.resolved from the data: resolve_shapes (worker/data), or a test's own.
using ShapeResolver = std::function<Status(JobConfig&)>;

struct ResolveOptions {
  std::string job_path;                // with `resume`: empty, or the same bytes as its job.toml
  std::string run_dir;                 // where the two files go; not used with dry_run
  std::vector<std::string> overrides;  // key=value
  std::string resume;                  // run directory whose config.toml is gone on with
  bool dry_run = false;                // print the plan, write nothing
};

// The job: loaded, checked, resolved, its model checked; not whether its device is here. With
// `resume` also compared: keys that fix the result must be those of the run directory.
// kInvalidInput, kNotFound, kDataLoss: one problem a line.
Result<JobConfig> resolve_job(const ResolveOptions& options, const ShapeResolver& resolve_shapes);

// Writes run_dir/job.toml (as given; not with `resume`) and run_dir/config.toml (effective, renamed
// into place), or prints the plan. A note a line on `out` for settings that work but help nobody.
// Errors: those of resolve_job; kInvalidInput when run_dir cannot be written (no permission),
// kExhausted when the disk is full.
Status run_resolve(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                   std::ostream& out);

}  // namespace ballast
