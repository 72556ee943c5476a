// Finding: one thing that `ballast-tool doctor` says of a job, its data, its run directory or the
// machine. A value.
#pragma once

#include <string>
#include <vector>

namespace ballast {

struct Finding {
  bool stops = true;  // false: it will run, but slower or less sure than it could
  std::string text;
};

using Findings = std::vector<Finding>;

}  // namespace ballast
