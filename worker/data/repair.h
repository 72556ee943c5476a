// What can be done about a data set whose chunks are damaged or gone: chunks are named by their
// content, so a copy of the data set anywhere has the same ones. Local folders only. Owner thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace ballast {

struct RepairOptions {
  Access access = {};     // how `from` is reached
  std::string from = {};  // a copy: folder or address; empty: there is none
  bool drop = false;      // write a manifest without the chunks that stay lost
};

struct LostChunk {
  std::string name;
  uint64_t first_row = 0;
  uint64_t rows = 0;
  std::string set_aside;   // what the damaged file is called now; empty: there was none
  Status why_not_fetched;  // ok: there was no copy to ask
};

struct RepairReport {
  std::vector<Status> problems;  // as verify_dataset() finds them
  std::vector<std::string> restored;
  std::vector<LostChunk> lost;
  bool dropped = false;

  // Every chunk that the manifest names is whole now.
  [[nodiscard]] bool is_whole() const { return lost.empty() || dropped; }
};

// Verifies every chunk, fetches those that are not whole from the copy, verified before they get
// their names, and sets aside damaged files as NAME.damaged where that fails. kInvalidInput: not a
// local folder, or nothing would be left.
Result<RepairReport> repair_dataset(const std::string& folder, const RepairOptions& options);

// What to do about damage in `dataset`.
[[nodiscard]] std::string way_out_of_damage(const Dataset& dataset);
// The failure of something that reads chunks; of damage it says what to do.
[[nodiscard]] Status with_way_out(Status failure, const Dataset& dataset);

// Files in the folder that the manifest does not name, sorted; none where it is no local folder.
[[nodiscard]] std::vector<std::string> unnamed_files(const Dataset& dataset);

}  // namespace ballast
