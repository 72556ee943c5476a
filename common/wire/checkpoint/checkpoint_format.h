// What checkpoints say about themselves, as plain structs, and their bytes
// (schemas/checkpoint.fbs): the header of a unit image and the manifest of a checkpoint. Decoding
// verifies size and structure before it reads; hashes belong to the files around (common/storage).
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

// Names one checkpoint in a run directory; the newest has the highest. At most one is committed
// under an id: what is committed is never written again, what a round left that failed is. Sync:
// the id is the step, and whoever cuts that step again writes the same bits. Async, ssp: no round
// of a run repeats an id, also not when the coordinator starts anew, since its saved state has the
// highest one ever ordered. A resumed run goes on above the checkpoint it starts from, so it may
// take an id that the run before it ordered and did not commit.
using CutId = uint64_t;

// Everything of a unit image but its floats.
struct UnitHeader {
  UnitId unit;
  Version version = 0;
  uint64_t updates = 0;
  double samples_applied = 0;
  double weight_applied = 0;
  std::vector<Clock> marks;
  uint64_t element_count = 0;    // floats of the weights and of each state tensor
  uint32_t state_count = 0;      // optimizer state tensors behind the weights
  bool has_previous = false;     // the weights of version - 1 follow behind the state
  std::vector<uint64_t> ledger;  // UnitImage::ledger
};

// Where one unit lies in a part.
struct CheckpointEntry {
  UnitId unit;
  uint64_t offset = 0;  // in the part, a multiple of 64
  uint64_t bytes = 0;
  Version version = 0;
  uint64_t xxh3 = 0;  // the hash the image carries of itself

  bool operator==(const CheckpointEntry&) const = default;
};

// What a unit has taken of a lane: the steps below `next`, and the sum modulo 2^64 of the numbers
// that name their rows (wire::LaneStamp::rows_hash). The order in which lanes came does not enter.
struct LaneLedger {
  Clock next = 0;  // kNever: all there are
  uint64_t sum = 0;

  bool operator==(const LaneLedger&) const = default;
};

// What one shard wrote; `file` is a name inside the checkpoint's folder.
struct CheckpointPart {
  uint32_t shard = 0;
  std::string file;  // part_file_name(shard)
  uint64_t bytes = 0;
  uint64_t xxh3 = 0;  // part_xxh3 of the entries
  std::vector<CheckpointEntry> entries;
  // By lane, of unit 0 if it is in this part: which rows the checkpoint rests on. Empty also where
  // an older version of the format kept none.
  std::vector<LaneLedger> ledger;

  bool operator==(const CheckpointPart&) const = default;
};

struct CheckpointManifest {
  CutId id = 0;
  Clock clock = 0;  // sync: steps closed by every unit; async, ssp: the least mark
  Mode mode = Mode::kSync;
  uint64_t lanes = 0;
  std::string job_hash;
  std::string config;  // effective TOML
  std::vector<CheckpointPart> parts;
};

// The ledger of the part that has one; empty: none.
[[nodiscard]] std::vector<LaneLedger> ledger_of(const CheckpointManifest& manifest);
// One number for all lanes; `order_ledger` of summary.json.
[[nodiscard]] uint64_t sum_of(const std::vector<LaneLedger>& ledger);

// "part-3.blp".
[[nodiscard]] std::string part_file_name(uint32_t shard);

// kDataLoss: a part contradicts itself or another (a unit twice, an entry outside its part, a file
// name with a path in it).
[[nodiscard]] Status check_parts(const std::vector<CheckpointPart>& parts);

// The hash of a part: XXH3-64 of its entries' hashes in order.
[[nodiscard]] uint64_t part_xxh3(const std::vector<CheckpointEntry>& entries);

[[nodiscard]] Buffer encode_unit_header(const UnitHeader& header);
[[nodiscard]] Result<UnitHeader> decode_unit_header(std::span<const std::byte> bytes);
// The parts must not contradict themselves or each other (our bug if they do).
[[nodiscard]] Buffer encode_manifest(const CheckpointManifest& manifest);
// kDataLoss: not a manifest, or one that contradicts itself (a unit twice, an entry outside its
// part, a file name with a path in it).
[[nodiscard]] Result<CheckpointManifest> decode_manifest(std::span<const std::byte> bytes);

}  // namespace ballast
