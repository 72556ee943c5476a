// The text of a job file, before anything is made of it.
#pragma once

#include <string>

#include "common/base/status.h"

namespace ballast {

// kInvalidInput: no file of at most a megabyte is there. A device or a pipe could be endless, and
// this is asked before anything else knows the path.
Result<std::string> read_job_text(const std::string& path);

}  // namespace ballast
