// From a job file to a JobConfig: every key checked against the key table, every problem of the
// file in one answer, each with its place. Reads one file, keeps nothing; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

// Reads the TOML of `text`, then `overrides` ("train.batch=64", "layer[0].units=32", "train.mode=
// async"; the last of a key wins), checks all of it (job_check.h) and chooses train.lanes where it
// is 0. `name` stands for the file in messages. kInvalidInput: one problem a line, in the order of
// the file, as in
//   digits.toml:14: unknown key train.bacth; did you mean train.batch?
//   --set train.lanes=3: train.lanes = 3 does not divide train.batch = 256; nearest legal ...
Result<JobConfig> parse_job(std::string_view text, const std::string& name,
                            const std::vector<std::string>& overrides = {});

// The same for a file; folders in the result are absolute, so that it means the same from any
// working directory. kInvalidInput also when the file cannot be read.
Result<JobConfig> load_job(const std::string& path, const std::vector<std::string>& overrides = {});

}  // namespace ballast
