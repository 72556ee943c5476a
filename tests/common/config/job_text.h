// A small sound job as text and as a config, for tests that change one thing of it.
#pragma once

#include <string>

#include "common/config/job_file.h"

namespace ballast {

// Line numbers matter to the tests: [train] is line 9, batch line 11.
inline const std::string kJobText = R"([data]
train = "/data/train"
features = ["pixels"]
label = "label"

[[layer]]
kind = "dense"
units = 10
[train]
mode = "sync"
batch = 256
[cluster]
workers = 2
)";

// The messages of a job that must be refused, one a line.
inline std::string problems_of(const std::string& text,
                               const std::vector<std::string>& overrides = {}) {
  const Result<JobConfig> job = parse_job(text, "job.toml", overrides);
  return job.ok() ? "no problem" : job.status().to_string();
}

inline JobConfig small_job(const std::vector<std::string>& overrides = {}) {
  return parse_job(kJobText, "job.toml", overrides).value();
}

}  // namespace ballast
