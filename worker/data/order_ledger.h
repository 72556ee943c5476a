// The order ledger: which rows a job's gradients were computed from, as a number a lane. Each batch
// of a lane has a number that names its rows in their order (batch_hash); a unit adds up those of
// the steps it has applied, beside the lane's mark and in the same record (server/shard/unit.h), so
// a sum says exactly which rows are in the weights, whoever computed and however often a job died.
// A sum, so that the order in which lanes arrive does not matter. A step that on_bad_gradient =
// "skip" set to zero counts: its rows had their turn. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/random.h"

namespace ballast {

// XXH3-64 of the row ids, eight little-endian bytes each, mixed with the lane and the number of the
// batch (LaneSchedule::first_batch).
[[nodiscard]] inline uint64_t batch_hash(LaneId lane, Clock number,
                                         std::span<const uint64_t> rows) {
  constexpr uint64_t kLedgerStream = 0x6c6564676572;  // "ledger": apart from other hashes
  return hash_numbers({kLedgerStream, lane.value(), number, xxh3(std::as_bytes(rows))});
}

}  // namespace ballast
