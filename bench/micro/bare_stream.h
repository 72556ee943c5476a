// BareStream: what streaming rows in a known order cannot do without. One thread reads every block
// when its turn comes (pread), compares its XXH3 and hands it over; another copies the rows of each
// batch out of the blocks as floats, and gives a block's memory back after its last row. It is told
// beforehand where blocks lie, which rows come and when a block is last used, and has no order,
// schedule, transform or choice of columns to keep. The floor of stream_bench.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/buffer.h"
#include "worker/data/dataset.h"

namespace ballast::bench {

class BareStream {
 public:
  // Columns: f32 [floats], i32 [integers] unless 0, f32 label.
  struct Rows {
    uint32_t floats = 0;
    uint32_t integers = 0;
    uint32_t batch = 0;

    [[nodiscard]] uint32_t width() const { return floats + integers; }
  };

  // `order`: the rows of the data set, one after another.
  BareStream(const Dataset& dataset, const std::vector<uint64_t>& order, const Rows& rows);
  ~BareStream();
  BareStream(const BareStream&) = delete;
  BareStream& operator=(const BareStream&) = delete;

  // All rows once.
  void epoch();
  // The last one of the epoch: [batch, width].
  [[nodiscard]] const float* batch() const { return batches_[current_].get(); }

 private:
  struct Block {
    int file;
    uint64_t offset, bytes, xxh3;
    std::vector<uint64_t> columns;  // where each begins
    uint64_t last_use;              // in order_
    std::byte* memory;              // null: not read
  };
  struct Place {
    uint32_t block, row;
  };
  // As many as a loader has: being filled, ready, with the worker.
  static constexpr size_t kBatches = 4;
  static constexpr size_t kBlocksAhead = 4;

  void open_blocks(const Dataset& dataset);
  void plan(const std::vector<uint64_t>& order);
  void read_blocks();
  [[nodiscard]] std::byte* wait_for(const Block& block);
  void give_back(Block& block);
  void ask_for(const Place& place) const;
  void copy_row(uint64_t number, size_t i);

  const Rows rows_;
  std::vector<int> files_;
  std::vector<Block> blocks_;
  std::vector<uint64_t> first_rows_;  // of the blocks
  std::vector<Place> order_;
  std::vector<uint32_t> first_uses_;  // blocks, in the order in which they are needed
  uint64_t slot_bytes_ = 0;
  std::vector<Buffer> slots_;
  std::vector<std::unique_ptr<float[]>> batches_;
  size_t current_ = 0;
  std::unique_ptr<float[]> labels_;
  std::vector<std::byte*> known_;  // of the blocks, by the caller; null: not yet

  std::mutex mutex_;  // guards free_ and every block's memory
  std::condition_variable changed_;
  std::vector<std::byte*> free_;
};

}  // namespace ballast::bench
