// A JobConfig as text: the effective config of a run, and what of it fixes the result. Pure; any
// thread.
#pragma once

#include <string>
#include <vector>

#include "common/config/job_config.h"

namespace ballast {

// Every key that has a meaning for the job, as TOML; parse_job gives the same JobConfig back.
[[nodiscard]] std::string dump_job(const JobConfig& job);

// XXH3-64, in hex, of every key that fixes the result (seed, data manifests and columns, model,
// train with its lanes, unit_bytes). The rest (folders, cluster, checkpoint, fault, trace) may
// change when the job is resumed, and members of one job may differ in it.
[[nodiscard]] std::string job_hash(const JobConfig& job);

// One run of the job, as every data message names it: of job_hash and resolved.run.
[[nodiscard]] uint64_t run_number(const JobConfig& job);

// The keys that fix the result and differ: "train.batch: 256 -> 128". Empty: equal job_hash.
[[nodiscard]] std::vector<std::string> changed_result_keys(const JobConfig& from,
                                                           const JobConfig& to);

}  // namespace ballast
