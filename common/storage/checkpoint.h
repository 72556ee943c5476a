// Checkpoints as files. A shard writes its part, the coordinator writes the manifest last; what has
// no whole, verified manifest does not exist.
//
//   RUNDIR/checkpoints/00000000000000000042/part-3.blp   unit images (unit_image.h), back to back
//   RUNDIR/checkpoints/00000000000000000042/manifest     magic, size, XXH3-64, FlatBuffer
//
// Every file is written under a temporary name, synced, renamed, and its folder synced, so a kill
// or a power cut at any instant leaves the old file or the new one. Parts know nothing of who reads
// them: any number of shards loads its units from any number of parts.
// Any thread; calls block on the disk.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/storage/unit_image.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace ballast {

// RUNDIR/checkpoints, and the folder of one checkpoint below it.
[[nodiscard]] std::string checkpoints_folder(const std::string& run_dir);
[[nodiscard]] std::string checkpoint_folder(const std::string& run_dir, CutId id);

// Writes the images as the part of `shard` and returns where each lies; durable when it returns.
// kConflict: checkpoint `id` is already committed. kExhausted: disk full; kUnavailable: I/O error.
[[nodiscard]] Result<CheckpointPart> write_part(const std::string& run_dir, CutId id,
                                                uint32_t shard,
                                                const std::vector<UnitImage>& images);

// The commit: durable when it returns. Parts must have been written. kConflict: already committed.
[[nodiscard]] Status commit_manifest(const std::string& run_dir,
                                     const CheckpointManifest& manifest);

// kNotFound: no manifest; kDataLoss: not the bytes that were committed. Does not look at parts.
[[nodiscard]] Result<CheckpointManifest> read_manifest(const std::string& run_dir, CutId id);

// Reads every part and checks every hash.
[[nodiscard]] Status verify_parts(const std::string& run_dir, const CheckpointManifest& manifest);

struct NewestCheckpoint {
  CheckpointManifest manifest;
  std::vector<Status> rejected;  // newer ones that did not verify, newest first, each with its why
};
// The newest one whose manifest and parts all verify. kNotFound: none was ever committed;
// kDataLoss: there are some and none is whole; each reason is a line of the status.
[[nodiscard]] Result<NewestCheckpoint> newest_checkpoint(const std::string& run_dir);

// Removes all but the newest `keep` (>= 1) good checkpoints, and what never became one and is older
// than the newest good one. Damaged ones never push a good one out; nothing is removed when none is
// good.
[[nodiscard]] Status remove_old(const std::string& run_dir, uint32_t keep);

// These units, in the order asked. kNotFound: a unit is in no part. kDataLoss: file, offset, why.
[[nodiscard]] Result<std::vector<UnitImage>> load_units(const std::string& run_dir,
                                                        const CheckpointManifest& manifest,
                                                        std::span<const UnitId> units);

}  // namespace ballast
