// `ballast-tool data convert|inspect|verify|head|stats|add-column|drop-column`: what people do
// with chunked data sets.
// Results go to stdout, progress to stderr when that is a terminal.
#pragma once

#include "worker/tool/command.h"

namespace ballast {

void add_data_command(CLI::App& tool, Status& outcome);

}  // namespace ballast
