// BareStream: what streaming rows in a known order cannot do without. One thread reads every block
// when its turn comes (pread), compares its XXH3 and hands it over; another copies the rows of each
// batch out of the blocks as floats, and gives a block's memory back after its last row. Rows are
// copied column by column in tiles that fit the first cache. It is told beforehand where blocks
// lie, which rows come and when a block is last used, so that each row's block is at a place known
// before the clock starts, and has no order, schedule, transform or choice of columns to keep. The
// floor of stream_bench.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
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

  // features[rows, width], labels[rows]: until the next call but kBatches.
  using EachBatch =
      std::function<void(std::span<const float> features, std::span<const float> labels)>;
  // All rows once.
  void epoch(const EachBatch& each);

 private:
  struct Block {
    int file;
    uint64_t offset, bytes, xxh3;
    std::vector<uint64_t> columns;  // where each begins
    uint64_t last_use;              // in order_
  };
  struct Place {
    uint32_t slot, row;
  };
  // Rows that are copied together.
  struct Tile {
    uint64_t first;
    uint32_t count;
    uint32_t blocks_read;  // that have to be, of first_uses_
    uint32_t blocks_left;  // that have no row behind it
  };
  // As many as a loader has: being filled, ready, with the worker.
  static constexpr size_t kBatches = 4;
  static constexpr size_t kBlocksAhead = 4;

  void open_blocks(const Dataset& dataset);
  void plan(const std::vector<uint64_t>& order);
  void place_rows(const std::vector<uint64_t>& order);
  void place_blocks();
  void read_blocks();
  void wait_for(const Tile& tile);
  void give_back(const Tile& tile);
  void copy_tile(const Tile& tile, float* out, float* labels);

  const Rows rows_;
  std::vector<int> files_;
  std::vector<Block> blocks_;
  std::vector<uint64_t> first_rows_;  // of the blocks
  std::vector<Place> order_;
  std::vector<Tile> tiles_;
  std::vector<uint32_t> first_uses_;  // blocks, in the order in which they are needed
  std::vector<uint32_t> slot_of_;     // by block
  uint64_t slot_bytes_ = 0;
  std::vector<Buffer> slots_;
  std::vector<std::unique_ptr<float[]>> batches_;
  std::vector<std::unique_ptr<float[]>> labels_;
  // Where the columns of the block in each slot begin: by the caller.
  std::vector<const std::byte*> floats_at_, integers_at_, labels_at_;
  uint32_t known_ = 0;  // blocks of first_uses_ that are in those

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  uint32_t read_ = 0;  // blocks, of first_uses_
  uint32_t left_ = 0;  // blocks, in the order of their last rows
};

}  // namespace ballast::bench
