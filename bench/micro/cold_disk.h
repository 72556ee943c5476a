// ColdDisk: a data set read past the page cache by both sides of the question how much of the
// disk's speed whole blocks in a random order, verified, have.
//
// Blocks: every block of the data set once, as StreamRows asks for them, one reading thread. Their
// values are checked in the first epoch only, so later ones show what reading and XXH3 cost.
// Floor: `dd iflag=direct bs=2M`, file after file. dd has one buffer, which stays in the
// processor's cache; reading the same into 65 buffers in turn takes 1.1 to 1.8 times as long where
// the host emulates the disk (2.09 and 1.64 GB/s, bench/results/stream_bench.json). A window of
// blocks is such memory, therefore `held`: the last blocks are held, and the floor goes through as
// many buffers.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/buffer.h"
#include "common/config/job_config.h"
#include "worker/data/block_store.h"
#include "worker/data/dataset.h"
#include "worker/data/strip_order.h"

namespace ballast::bench {

class ColdDisk {
 public:
  ColdDisk(std::shared_ptr<const Dataset> dataset, const DataConfig& config, uint32_t held);

  void read_blocks();
  void read_files();
  [[nodiscard]] uint64_t block_bytes() const;  // of all blocks

 private:
  [[nodiscard]] uint64_t ahead() const;

  const std::shared_ptr<const Dataset> dataset_;
  const uint32_t held_;
  const StripOrder order_;
  std::unique_ptr<BlockStore> store_;
  Buffer buffers_;  // of the floor
};

}  // namespace ballast::bench
