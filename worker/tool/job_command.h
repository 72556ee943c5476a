// `ballast-tool resolve|doctor|keys`: what is done with a job file before the job runs.
#pragma once

#include "worker/tool/command.h"

namespace ballast {

void add_resolve_command(CLI::App& tool, Status& outcome);
void add_doctor_command(CLI::App& tool, Status& outcome);
void add_keys_command(CLI::App& tool, Status& outcome);

}  // namespace ballast
