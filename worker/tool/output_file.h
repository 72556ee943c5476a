// Where a command writes its result: judged before any work, so that a path that can never hold it
// is not found out after the model has run over the data. Pure but for asking the disk.
#pragma once

#include <string>

#include "common/base/status.h"

namespace ballast {

// Ok when `path` can be written as a file: it is new, or a regular file that will be replaced, and
// a new file can be made in its folder. kInvalidInput: it is a folder or a device, its folder is
// not there or is a file, or nothing may be written there. kExhausted: the disk is full. `command`
// is who asks: "predict".
[[nodiscard]] Status check_output_file(const std::string& command, const std::string& path);

}  // namespace ballast
