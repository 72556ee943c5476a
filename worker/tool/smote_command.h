// `ballast-tool data smote`: synthetic rows for classes that are smaller than the largest.
#pragma once

#include "worker/tool/command.h"

namespace ballast {

// `data` is the command that it becomes a part of.
void add_smote_command(CLI::App& data, Status& outcome);

}  // namespace ballast
