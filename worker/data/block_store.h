// BlockStore: whole blocks of a data set in memory, fetched before they are needed, verified, and
// given back when nobody holds them. The memory is a fixed number of slots, each as large as the
// largest block and what decoding adds to it; a block that is waited for gets memory even when all
// slots are taken, because lanes may move to a worker at any time (counted: over_budget).
//
// With slots to keep, a block that nobody holds any more stays, verified and decoded, until its
// slot is needed: then the one goes that is needed latest (kept_blocks.h).
//
// One that arrives damaged over a network is asked for again. What is stored with a codec is
// decoded into the same slot, behind the stored bytes (block_decoder.h).
//
// Any thread. get() blocks; prefetch() never does. No polling: the source's threads wake whoever
// waits.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "worker/data/block_decoder.h"
#include "worker/data/dataset.h"
#include "worker/data/kept_blocks.h"
#include "worker/data/transform.h"

namespace ballast {

// One block, verified. Immutable.
class Block {
 public:
  [[nodiscard]] const BlockPlace& place() const { return place_; }
  // Row 0 of a column of the plan, held_row_bytes() from one to the next.
  [[nodiscard]] const std::byte* column(size_t index) const { return columns_[index].rows; }

 private:
  friend class BlockStore;
  BlockPlace place_;
  std::vector<HeldColumn> columns_;  // of the plan
  std::shared_ptr<std::byte> memory_;
  bool in_slot_ = false;  // else memory beside the slots
};

struct BlockCounters {
  uint64_t fetched = 0;
  uint64_t found = 0;   // get() found it among the blocks that were kept since somebody had them
  uint64_t bytes = 0;   // fetched
  uint64_t ready = 0;   // get() found the block there
  uint64_t waited = 0;  // get() had to wait
  uint64_t over_budget = 0;  // blocks fetched beyond the slots
};

class BlockStore {
 public:
  // `plan`: whose columns' values are checked; `source`: of the data set's chunks; `slots_to_keep`:
  // beside `slots`, 0: nothing is kept. kExhausted: no memory for the slots.
  static Result<std::unique_ptr<BlockStore>> open(std::shared_ptr<const Dataset> dataset,
                                                  const RowPlan& plan,
                                                  std::unique_ptr<Source> source, uint32_t slots,
                                                  uint32_t slots_to_keep = 0);
  ~BlockStore();

  // What is remembered of a block in a slot: itself and who holds it, the places of its columns,
  // its memory's owner, and where it is kept; each piece with 16 or 24 bytes of the heap.
  static constexpr uint64_t bytes_per_slot(uint64_t columns) {
    return (sizeof(Block) + 24) + (columns * sizeof(HeldColumn) + 16) + 48 +
           KeptBlocks::kBytesPerKept;
  }
  // The bytes of one slot.
  [[nodiscard]] static uint64_t slot_bytes(const Dataset& dataset, const RowPlan& plan);

  // A hint: the block will be asked for. Begins to fetch it if a slot is free, or keeps a block
  // that is needed later.
  void prefetch(uint64_t block);
  // A hint: the block will be asked for at `when` (Source::expect).
  void expect(uint64_t block, uint64_t when);
  // A hint: uses up to `when` have been (Source::reached).
  void reached(uint64_t when) { source_->reached(when); }
  // What keeping goes by: KeptBlocks, which says the same of each. Nothing happens without keeps().
  [[nodiscard]] bool keeps() const;
  void expect_uses(LaneId lane, std::span<const BlockUse> uses);
  void passed(LaneId lane, uint64_t when);
  void forget_uses(LaneId lane);
  // kDataLoss: damaged; kInvalidInput: a value that training cannot use: chunk, block, row, column.
  Result<std::shared_ptr<const Block>> get(uint64_t block);
  // get() would not wait for the source.
  [[nodiscard]] bool at_hand(uint64_t block) const;

  // Whoever waits in get(), or comes later, gets kStopped.
  void close();

  [[nodiscard]] BlockCounters counters() const;

 private:
  struct Core;
  BlockStore(std::shared_ptr<Core> core, std::unique_ptr<Source> source);

  std::shared_ptr<Core> core_;      // shared: blocks give their slots back after the store has gone
  std::unique_ptr<Source> source_;  // goes first: its last reads end in the core
};

}  // namespace ballast
