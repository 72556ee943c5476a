// The journal of a real shard, by what the job asks for.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/storage/journal.h"

namespace ballast {

struct JournalOptions {
  std::string run_dir;  // checkpoints go to RUNDIR/checkpoints
  std::string folder;   // of the unit records, made when missing; kCheckpoint needs none
  ShardId shard;
  Durability durability = Durability::kCheckpoint;
};

// A DiskJournal (disk_journal.h). `notify` is called from any thread, also within a call of the
// owner, and must not block. kExhausted, kUnavailable, kDataLoss: the folder could
// not be opened and why; kConflict: another process has it open.
[[nodiscard]] Result<std::unique_ptr<Journal>> open_journal(const JournalOptions& options,
                                                            std::function<void()> notify);

}  // namespace ballast
