// `ballast-tool evaluate`: the metrics of a trained model on a data set. On the job's own test set
// they are those of summary.json, bit for bit: the same slices are added in the same order.
#pragma once

#include <ostream>
#include <string>

#include "common/base/status.h"
#include "worker/tool/command.h"

namespace ballast {

struct EvaluateOptions {
  std::string run_dir;
  std::string data;  // folder of a data set
  bool json = false;
};

[[nodiscard]] Status run_evaluate(const EvaluateOptions& options, std::ostream& out);

void add_evaluate_command(CLI::App& tool, Status& outcome);

}  // namespace ballast
