// `ballast-tool data convert`: the options of every format, and the conversion. One thread, and
// those of the conversion.
#pragma once

#include "worker/tool/command.h"

namespace ballast {

// `data` is the command that it becomes a part of.
void add_convert_command(CLI::App& data, Status& outcome);

}  // namespace ballast
