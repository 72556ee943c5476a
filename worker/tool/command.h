// What every subcommand of ballast-tool is: a function that adds itself to the command line and
// leaves in `outcome` how its run ended. Registered with one line in tool_main.cc.
#pragma once

#include <CLI/CLI.hpp>

#include "common/base/status.h"

namespace ballast {

// Each outlives the parse; main owns both.
using AddCommand = void (*)(CLI::App& tool, Status& outcome);

}  // namespace ballast
