// What the coordinator's process does with the checkpoints of its run directory besides reading
// them: commits that may be repeats, and damaged ones that stand in the way. Blocks on the disk;
// any thread.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace ballast {

// As commit_manifest(), but ok when the same parts are committed already: a coordinator that was
// restarted in between repeats the order. kConflict: other parts are, both are named. kDataLoss:
// the parts contradict themselves or each other.
[[nodiscard]] Status commit_or_confirm(const std::string& run_dir,
                                       const CheckpointManifest& manifest);

// Checkpoints newer than `id`, all damaged, get ".damaged" behind their folder's name, so that they
// are not in the way of the ones this run writes under the same numbers. Returns a line for each.
[[nodiscard]] std::vector<std::string> set_aside_newer_than(const std::string& run_dir, CutId id);

}  // namespace ballast
