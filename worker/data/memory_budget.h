// What the loaders of one worker keep in memory, and the refusal when that is more than
// data.memory_mib. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"

namespace ballast {

// How many batches of a lane a loader makes ahead: one being made while one waits.
inline constexpr uint32_t kBatchesAhead = 2;

// Rows that come ready from feeders, or go there (worker/feed/portion.h).
struct PortionMemory {
  uint64_t portions = 0;
  uint64_t portion_bytes = 0;

  // The largest number if the product does not fit in 64 bits.
  [[nodiscard]] uint64_t total() const;
};

struct LoaderMemory {
  // Held whole: order full and none.
  uint64_t train_rows = 0;
  uint64_t train_row_bytes = 0;  // stored bytes of the columns used
  uint64_t decode_bytes = 0;     // encoded columns, in the hands of the threads that read them
  // Streamed: order strip.
  uint64_t blocks = 0;        // in the windows of the worker's lanes, and asked for ahead
  uint32_t blocks_ahead = 0;  // of these for each lane: StreamRows::kBlocksAhead, or the least
  uint64_t kept_blocks = 0;   // that nobody holds, in what the budget leaves
  uint64_t block_bytes = 0;
  // Permutations of those, what is remembered of each slot, and a few numbers for each block.
  uint64_t order_bytes = 0;
  uint64_t list_bytes = 0;         // where each block of both sets is stored, and its rows
  uint64_t numbers_of_blocks = 0;  // of order_bytes, the bytes that grow with the data's blocks
  uint64_t cache_bytes = 0;        // when data.cache will be asked for which block
  PortionMemory portions;          // beside the rows that are read here
  uint64_t test_rows = 0;
  uint64_t test_row_bytes = 0;
  uint64_t batch_bytes = 0;  // one pooled batch of the largest step
  uint32_t batches = 0;      // ahead, in the loader threads' hands, and with the worker

  // The largest number if the sum does not fit in 64 bits.
  [[nodiscard]] uint64_t total() const;
  // The sum written out, in bytes and MiB.
  [[nodiscard]] std::string to_string() const;
  // kInvalidInput: total() is more than `memory_mib`; says the sum and the least value that works.
  [[nodiscard]] Status check(uint64_t memory_mib) const;
};

// Of one worker of the job with its share of the lanes. `config` is resolved. Streamed blocks are
// kept in what data.memory_mib leaves; nothing is, where it leaves nothing.
[[nodiscard]] LoaderMemory loader_memory(const JobConfig& config, const LaneSchedule& schedule,
                                         const PortionMemory& portions = {});

// Turns data.order auto into full or strip, and data.window 0 into a number, by what fits
// data.memory_mib if one worker had all lanes: the bits depend on both, so they may not depend on
// how many workers there are, nor on feeders or a cache: it reckons as if there were a cache and no
// feeders. `config` is resolved otherwise.
// Nor may they depend on the cores of a machine: it reckons with kLoaderThreadsMost.
void choose_order(JobConfig& config);

// How many a job takes that leaves data.threads to us.
inline constexpr uint32_t kLoaderThreadsMost = 8;
// Turns data.threads 0 into half of the cores, shared by the workers, 1 to kLoaderThreadsMost.
void choose_threads(JobConfig& config, uint32_t cores);

}  // namespace ballast
