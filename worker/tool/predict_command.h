// `ballast-tool predict`: what a trained model says of each row of a data set, in stored order.
// Softmax: a probability per class (csv: the most probable class before them); sigmoid: a
// probability per unit; mean squared error: the values themselves.
#pragma once

#include <ostream>
#include <string>

#include "common/base/status.h"
#include "worker/tool/command.h"

namespace ballast {

struct PredictOptions {
  std::string run_dir;
  std::string data;    // folder of a data set
  std::string out;     // empty: standard output
  std::string format;  // "csv", or "npy": float32 [rows, outputs]; empty: as the name of `out` ends
};

// An output that cannot be written is refused before any work; half a file is never left behind.
// Without --out the csv goes to `out`; npy needs a file.
[[nodiscard]] Status run_predict(const PredictOptions& options, std::ostream& out);

void add_predict_command(CLI::App& tool, Status& outcome);

}  // namespace ballast
