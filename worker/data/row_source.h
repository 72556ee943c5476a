// RowSource: the training rows of a worker, by lane and place in the lane's epoch. Two kinds: all
// in memory, in any order (MemoryRows), or streamed from blocks in the order `strip` (StreamRows).
// Which rows come is arithmetic in both; any thread may read any lane.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

// Of rows that are streamed: blocks read from their source, and blocks found in memory.
struct BlockReads {
  uint64_t read = 0;
  uint64_t found = 0;
};

class RowSource {
 public:
  virtual ~RowSource() = default;

  // The lane's samples first, first + 1 ... of the epoch, as many as `room` has places. What a
  // stream cannot deliver: kDataLoss, kInvalidInput, kNotFound or kUnavailable, with chunk and
  // block; kExhausted: no memory; kStopped: it ends.
  virtual Status read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) = 0;

  // The lane went to another worker: what is kept for it is given back. It may return.
  virtual void forget(LaneId lane) = 0;
  // The loader ends: reads that wait end with kStopped, and later ones too.
  virtual void stop() = 0;
  // read() never waits for a disk.
  [[nodiscard]] virtual bool in_memory() const = 0;
  // Who reads a lane in another place undoes what is held for the first: better one after another.
  [[nodiscard]] virtual bool one_place_a_lane() const { return false; }
  // read() of so many of the lane's samples would not wait now, for a disk or for another reader. A
  // hint that never waits itself: the loader asks with its mutex held. Any thread.
  [[nodiscard]] virtual bool at_hand(uint64_t /*epoch*/, LaneId /*lane*/, uint64_t /*first*/,
                                     uint64_t /*count*/) {
    return in_memory();
  }
  [[nodiscard]] virtual BlockReads block_reads() const { return {}; }

  [[nodiscard]] virtual const RowPlan& plan() const = 0;
  [[nodiscard]] virtual const std::shared_ptr<const Dataset>& dataset() const = 0;
};

}  // namespace ballast
