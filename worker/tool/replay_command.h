// `ballast-tool data replay`: which rows a step of a run was computed from, and whether a run's
// checkpoint rests on the rows it should. From config.toml and the manifest of the data alone.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/tool/command.h"

namespace ballast {

struct ReplayOptions {
  std::string run_dir;
  std::vector<std::string> data;  // where the training sets are now; empty: where the run had them
  std::optional<uint64_t> step;   // from 0, as messages and checkpoints count
  std::optional<uint32_t> lane;   // nothing: all that have rows in the step
  std::string out;                // of the step's rows a data set; empty: a table
  bool overwrite = false;
  bool verify = false;  // the ledgers of the newest checkpoint
};

// kInvalidInput: no such step or lane, or the data is not that of the run: both hashes are named.
// kDataLoss: a ledger is not that of the order; unit and lane, expected and found are named.
[[nodiscard]] Status run_replay(const ReplayOptions& options, std::ostream& out);

void add_replay_command(CLI::App& data, Status& outcome);

}  // namespace ballast
