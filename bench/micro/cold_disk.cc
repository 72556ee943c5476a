#include "bench/micro/cold_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "common/base/check.h"
#include "worker/data/row_memory.h"
#include "worker/data/source/source.h"
#include "worker/data/stream_rows.h"

namespace ballast::bench {
namespace {

constexpr uint64_t kReadBytes = 2 << 20;

StripOrder blocks_in_random_order(const Dataset& dataset) {
  std::vector<uint32_t> block_rows;
  for (uint64_t b = 0; b < dataset.block_count(); ++b) {
    block_rows.push_back(dataset.block(b).stored.rows);
  }
  return {block_rows, 1, 1, 1, 0};
}

}  // namespace

ColdDisk::ColdDisk(std::shared_ptr<const Dataset> dataset, const DataConfig& config, uint32_t held)
    : dataset_(std::move(dataset)),
      held_(held),
      order_(blocks_in_random_order(*dataset_)),
      buffers_(map_rows(kReadBytes * (uint64_t{held} + 1)).value()) {
  // More than any memory: past the page cache.
  auto source = open_source(dataset_->folder(), {}, {.bytes = ~uint64_t{0}, .threads = 1});
  BALLAST_CHECK_MSG(source.ok(), source.status().to_string());
  auto store = BlockStore::open(dataset_, plan_rows(*dataset_, config).value(), std::move(*source),
                                static_cast<uint32_t>(held_ + 1 + ahead()));
  BALLAST_CHECK_MSG(store.ok(), store.status().to_string());
  store_ = std::move(*store);
}

// Little memory in turn where the floor has one buffer.
uint64_t ColdDisk::ahead() const {
  return held_ == 0 ? StreamRows::kBlocksAheadLeast : StreamRows::kBlocksAhead;
}

void ColdDisk::read_blocks() {
  const LaneId lane(0);
  const uint64_t count = order_.piece_count(lane);
  std::deque<std::shared_ptr<const Block>> held;
  for (uint64_t i = 0; i < count; ++i) {
    for (uint64_t next = i; next < std::min(i + ahead(), count); ++next) {
      store_->prefetch(order_.piece(lane, next).block);
    }
    auto block = store_->get(order_.piece(lane, i).block);
    BALLAST_CHECK_MSG(block.ok(), block.status().to_string());
    held.push_back(std::move(*block));
    if (held.size() > held_) held.pop_front();
  }
}

void ColdDisk::read_files() {
  uint64_t bytes = 0, reads = 0;
  for (uint32_t c = 0; c < dataset_->manifest().chunks.size(); ++c) {
    int file = open(dataset_->chunk_path(c).c_str(), O_RDONLY | O_DIRECT);
    if (file < 0) file = open(dataset_->chunk_path(c).c_str(), O_RDONLY);
    BALLAST_CHECK(file >= 0);
    for (ssize_t got = 1; got > 0; bytes += static_cast<uint64_t>(got)) {
      got = read(file, buffers_.data() + reads++ % (uint64_t{held_} + 1) * kReadBytes, kReadBytes);
      BALLAST_CHECK(got >= 0);
    }
    close(file);
  }
  BALLAST_CHECK(bytes >= block_bytes());
}

uint64_t ColdDisk::block_bytes() const {
  uint64_t bytes = 0;
  for (uint64_t b = 0; b < dataset_->block_count(); ++b) bytes += dataset_->block(b).stored.bytes;
  return bytes;
}

}  // namespace ballast::bench
