#include "bench/micro/bare_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/row_memory.h"

// thread   does
// reader   reads and verifies blocks into free slots
// caller   copies rows, gives slots back
namespace ballast::bench {

BareStream::BareStream(const Dataset& dataset, const std::vector<uint64_t>& order, const Rows& rows)
    : rows_(rows), labels_(new float[rows.batch]) {
  for (size_t i = 0; i < kBatches; ++i) {
    batches_.emplace_back(new float[size_t{rows.batch} * rows.width()]);
  }
  open_blocks(dataset);
  plan(order);
  for (Buffer& slot : slots_) free_.push_back(slot.data());
}

BareStream::~BareStream() {
  for (int file : files_) close(file);
}

void BareStream::open_blocks(const Dataset& dataset) {
  for (uint32_t c = 0; c < dataset.manifest().chunks.size(); ++c) {
    files_.push_back(open(dataset.chunk_path(c).c_str(), O_RDONLY));
    BALLAST_CHECK(files_.back() >= 0);
    const ChunkReader chunk = ChunkReader::open(dataset, c).value();
    for (const BlockPlace& place : dataset.blocks_of(c)) {
      const BlockSpec& spec = chunk.footer().blocks[place.index_in_chunk];
      Block block{files_.back(), place.stored.offset, place.stored.bytes, place.stored.xxh3, {}, 0,
                  nullptr};
      for (const BufferSpec& buffer : spec.buffers) block.columns.push_back(buffer.offset);
      slot_bytes_ = std::max(slot_bytes_, block.bytes);
      first_rows_.push_back(place.first_row);
      blocks_.push_back(std::move(block));
    }
  }
}

// Where each row lies, when each block is needed, and as many slots as blocks live at a time.
void BareStream::plan(const std::vector<uint64_t>& order) {
  std::vector<bool> used(blocks_.size());
  std::vector<uint64_t> first_use;
  for (uint64_t row : order) {
    const auto after = std::upper_bound(first_rows_.begin(), first_rows_.end(), row);
    const auto block = static_cast<uint32_t>(after - first_rows_.begin()) - 1;
    if (!used[block]) {
      first_uses_.push_back(block);
      first_use.push_back(order_.size());
    }
    used[block] = true;
    order_.push_back({block, static_cast<uint32_t>(row - first_rows_[block])});
    blocks_[block].last_use = order_.size() - 1;
  }
  std::vector<uint64_t> last_uses;
  for (const Block& block : blocks_) last_uses.push_back(block.last_use);
  std::sort(last_uses.begin(), last_uses.end());
  size_t live_most = 0;
  for (size_t i = 0; i < first_use.size(); ++i) {
    const auto gone = std::lower_bound(last_uses.begin(), last_uses.end(), first_use[i]);
    live_most = std::max(live_most, i + 1 - static_cast<size_t>(gone - last_uses.begin()));
  }
  for (size_t i = 0; i < live_most + kBlocksAhead; ++i) {
    slots_.push_back(map_rows(slot_bytes_).value());
  }
}

void BareStream::read_blocks() {
  for (uint32_t index : first_uses_) {
    Block& block = blocks_[index];
    std::byte* slot = nullptr;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !free_.empty(); });
      slot = free_.back();
      free_.pop_back();
    }
    const ssize_t got = pread(block.file, slot, block.bytes, static_cast<off_t>(block.offset));
    BALLAST_CHECK(got == static_cast<ssize_t>(block.bytes));
    BALLAST_CHECK(xxh3(std::span<const std::byte>(slot, block.bytes)) == block.xxh3);
    {
      std::lock_guard lock(mutex_);
      block.memory = slot;
    }
    changed_.notify_one();
  }
}

std::byte* BareStream::wait_for(const Block& block) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return block.memory != nullptr; });
  return block.memory;
}

void BareStream::give_back(Block& block) {
  {
    std::lock_guard lock(mutex_);
    free_.push_back(block.memory);
    block.memory = nullptr;
  }
  changed_.notify_one();
}

void BareStream::epoch() {
  std::jthread reader([this] { read_blocks(); });
  known_.assign(blocks_.size(), nullptr);
  for (uint64_t first = 0; first < order_.size(); first += rows_.batch) {
    const uint64_t count = std::min<uint64_t>(rows_.batch, order_.size() - first);
    current_ = (current_ + 1) % kBatches;
    for (uint64_t i = 0; i < count; ++i) {
      constexpr uint64_t kAhead = 8;
      if (first + i + kAhead < order_.size()) ask_for(order_[first + i + kAhead]);
      copy_row(first + i, i);
    }
  }
}

// A row that comes soon, so that it is in the cache then.
void BareStream::ask_for(const Place& place) const {
  const std::byte* memory = known_[place.block];
  if (memory == nullptr) return;
  const Block& block = blocks_[place.block];
  const auto ask = [&](uint64_t at, uint64_t bytes) {
    const std::byte* row = memory + at + place.row * bytes;
    for (uint64_t line = 0; line < std::min<uint64_t>(bytes, 2048); line += 64) {
      __builtin_prefetch(row + line);
    }
  };
  ask(block.columns[0], rows_.floats * sizeof(float));
  if (rows_.integers > 0) ask(block.columns[1], rows_.integers * sizeof(int32_t));
}

void BareStream::copy_row(uint64_t number, size_t i) {
  const Place place = order_[number];
  Block& block = blocks_[place.block];
  if (known_[place.block] == nullptr) known_[place.block] = wait_for(block);
  const std::byte* memory = known_[place.block];
  float* out = batches_[current_].get() + i * rows_.width();
  std::memcpy(out, memory + block.columns[0] + place.row * rows_.floats * sizeof(float),
              rows_.floats * sizeof(float));
  if (rows_.integers > 0) {
    const auto* ids = reinterpret_cast<const int32_t*>(memory + block.columns[1]) +
                      size_t{place.row} * rows_.integers;
    for (uint32_t k = 0; k < rows_.integers; ++k) {
      out[rows_.floats + k] = static_cast<float>(ids[k]);
    }
  }
  std::memcpy(&labels_[i], memory + block.columns.back() + place.row * sizeof(float),
              sizeof(float));
  if (block.last_use != number) return;
  known_[place.block] = nullptr;
  give_back(block);
}

}  // namespace ballast::bench
