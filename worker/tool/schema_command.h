// `ballast-tool data add-column|drop-column`: other columns for a data set whose chunks stay as
// they are.
#pragma once

#include <CLI/CLI.hpp>

#include "common/base/status.h"

namespace ballast {

void add_schema_commands(CLI::App& data, Status& outcome);

}  // namespace ballast
