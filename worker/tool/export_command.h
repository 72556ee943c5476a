// `ballast-tool export`: the weights of a checkpoint as safetensors, also of a run that crashed or
// is still going on; with --live those that the servers of a running job hold now.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "common/base/status.h"
#include "worker/tool/command.h"

namespace ballast {

struct ExportOptions {
  std::string run_dir;
  std::string out;  // empty: model.safetensors, or model-<id>.safetensors, in the run directory
  std::optional<uint64_t> checkpoint;  // nothing: the newest whole one
  bool live = false;                   // ask the cluster; `out` must be given
};

// Prints where the model is, its checkpoint and weights_xxh3. kNotFound: no such run or checkpoint.
// kDataLoss: the checkpoint is damaged, with file and offset. An output that cannot be written is
// refused before any work.
[[nodiscard]] Status run_export(const ExportOptions& options, std::ostream& out);

void add_export_command(CLI::App& tool, Status& outcome);

}  // namespace ballast
