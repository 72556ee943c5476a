// What every subcommand of ballast-tool is: a function that adds itself to the command line and
// leaves in `outcome` how its run ended. Registered with one line in tool_main.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "common/base/status.h"

namespace ballast {

// Each outlives the parse; main owns both.
using AddCommand = void (*)(CLI::App& tool, Status& outcome);

// For check() of an unsigned option: CLI11 would wrap -1 to the largest number there is.
inline std::string no_minus(const std::string& text) {
  return text.starts_with('-') ? "a whole number from 0 expected, " + text + " found" : "";
}

}  // namespace ballast
