#include "bench/micro/bare_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <type_traits>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/row_memory.h"

// thread   does
// reader   reads and verifies blocks into free slots
// caller   copies rows, gives slots back
namespace ballast::bench {
namespace {

constexpr uint32_t kRowsAhead = 16;           // that copy_column asks for; of large rows half
constexpr uint64_t kTileBytes = 16u << 10;    // of a batch's rows: half of the first cache
constexpr uint64_t kPieceBytes = 256u << 10;  // read and hashed at a time: in the second cache

// Asks for a row that comes soon, so that it is in the cache then.
void ask_for(const std::byte* row, uint64_t bytes) {
  constexpr uint64_t kMost = 2048;  // the processor follows longer runs by itself
  const uint64_t most = std::min(bytes, kMost);
  for (uint64_t at = 0; at < most; at += 64) __builtin_prefetch(row + at);
  __builtin_prefetch(row + most - 1);  // rows begin anywhere in a line
}

// One column of `count` rows: copy(row of the block, row of the batch), `width` values each. A
// width of 1, 13 or 26 is known to the compiler.
template <typename Value, typename Places>
void copy_column(const Places* places, uint32_t count, const std::vector<const std::byte*>& at,
                 uint32_t width, float* out, uint32_t stride) {
  const auto copy = [&](auto known) {
    const uint32_t values = known() == 0 ? width : known();
    const uint64_t bytes = values * sizeof(Value);
    const uint32_t rows_ahead = bytes > 1024 ? kRowsAhead / 2 : kRowsAhead;
    for (uint32_t i = 0; i < count; ++i) {
      const auto& ahead = places[i + rows_ahead];  // the order has so many more at its end
      ask_for(at[ahead.slot] + ahead.row * bytes, bytes);
      const std::byte* row = at[places[i].slot] + places[i].row * bytes;
      float* to = out + uint64_t{i} * stride;
      if constexpr (std::is_same_v<Value, float>) {
        std::memcpy(to, row, bytes);
      } else {
        const auto* from = reinterpret_cast<const Value*>(row);
        for (uint32_t k = 0; k < values; ++k) to[k] = static_cast<float>(from[k]);
      }
    }
  };
  switch (width) {
    case 1:
      return copy(std::integral_constant<uint32_t, 1>());
    case 13:
      return copy(std::integral_constant<uint32_t, 13>());
    case 26:
      return copy(std::integral_constant<uint32_t, 26>());
    default:
      return copy(std::integral_constant<uint32_t, 0>());
  }
}

}  // namespace

BareStream::BareStream(const Dataset& dataset, const std::vector<uint64_t>& order, const Rows& rows)
    : rows_(rows) {
  for (size_t i = 0; i < kBatches; ++i) {
    batches_.emplace_back(new float[size_t{rows.batch} * rows.width()]);
    labels_.emplace_back(new float[rows.batch]);
  }
  open_blocks(dataset);
  plan(order);
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
      Block block{files_.back(), place.stored.offset, place.stored.bytes, place.stored.xxh3, {}, 0};
      for (const BufferSpec& buffer : spec.buffers) block.columns.push_back(buffer.offset);
      slot_bytes_ = std::max(slot_bytes_, block.bytes);
      first_rows_.push_back(place.first_row);
      blocks_.push_back(std::move(block));
    }
  }
}

// Where each row lies, when each block is needed, and as many slots as blocks live at a time.
void BareStream::plan(const std::vector<uint64_t>& order) {
  place_rows(order);
  place_blocks();
  for (Place& place : order_) place.slot = slot_of_[place.slot];
  for (size_t i = 0; i < kRowsAhead; ++i) order_.push_back(order_.back());
}

// order_, with blocks for slots, and tiles_.
void BareStream::place_rows(const std::vector<uint64_t>& order) {
  const uint64_t width_bytes = rows_.width() * sizeof(float);
  const auto tile_rows = static_cast<uint32_t>(std::max<uint64_t>(8, kTileBytes / width_bytes));
  std::vector<bool> used(blocks_.size());
  for (uint64_t row : order) {
    const uint64_t number = order_.size();
    const bool begins = number % rows_.batch % tile_rows == 0;
    if (begins) tiles_.push_back({number, 0, 0, 0});
    const auto after = std::upper_bound(first_rows_.begin(), first_rows_.end(), row);
    const auto block = static_cast<uint32_t>(after - first_rows_.begin()) - 1;
    if (!used[block]) first_uses_.push_back(block);
    used[block] = true;
    order_.push_back({block, static_cast<uint32_t>(row - first_rows_[block])});
    blocks_[block].last_use = number;
    ++tiles_.back().count;
    tiles_.back().blocks_read = static_cast<uint32_t>(first_uses_.size());
  }
}

// A block takes the slot of the one that was left so many blocks before: as many slots as blocks
// live at a time, and those read ahead.
void BareStream::place_blocks() {
  std::vector<uint32_t> leaving = first_uses_;
  std::sort(leaving.begin(), leaving.end(),
            [this](uint32_t a, uint32_t b) { return blocks_[a].last_use < blocks_[b].last_use; });
  uint32_t left = 0;
  size_t live_most = 0;
  for (Tile& tile : tiles_) {
    live_most = std::max<size_t>(live_most, tile.blocks_read - left);
    while (left < leaving.size() && blocks_[leaving[left]].last_use < tile.first + tile.count) {
      ++left;
    }
    tile.blocks_left = left;
  }
  const size_t slots = std::min(live_most + kBlocksAhead, first_uses_.size());
  for (size_t i = 0; i < slots; ++i) slots_.push_back(map_rows(slot_bytes_).value());
  slot_of_.resize(blocks_.size());
  for (size_t i = 0; i < first_uses_.size(); ++i) {
    slot_of_[first_uses_[i]] = i < slots ? static_cast<uint32_t>(i) : slot_of_[leaving[i - slots]];
  }
  for (auto* at : {&floats_at_, &integers_at_, &labels_at_}) at->assign(slots, slots_[0].data());
}

void BareStream::read_blocks() {
  for (uint32_t i = 0; i < first_uses_.size(); ++i) {
    const Block& block = blocks_[first_uses_[i]];
    std::byte* slot = slots_[slot_of_[first_uses_[i]]].data();
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return i < slots_.size() + left_; });
    }
    Hasher hasher;
    for (uint64_t at = 0; at < block.bytes; at += kPieceBytes) {
      const uint64_t bytes = std::min(kPieceBytes, block.bytes - at);
      const ssize_t got =
          pread(block.file, slot + at, bytes, static_cast<off_t>(block.offset + at));
      BALLAST_CHECK(got == static_cast<ssize_t>(bytes));
      hasher.add(std::span<const std::byte>(slot + at, bytes));
    }
    BALLAST_CHECK(hasher.digest() == block.xxh3);
    {
      std::lock_guard lock(mutex_);
      ++read_;
    }
    changed_.notify_one();
  }
}

void BareStream::wait_for(const Tile& tile) {
  if (known_ == tile.blocks_read) return;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return read_ >= tile.blocks_read; });
  }
  for (; known_ < tile.blocks_read; ++known_) {
    const Block& block = blocks_[first_uses_[known_]];
    const uint32_t slot = slot_of_[first_uses_[known_]];
    const std::byte* memory = slots_[slot].data();
    floats_at_[slot] = memory + block.columns.front();
    integers_at_[slot] = memory + block.columns[rows_.integers > 0 ? 1 : 0];
    labels_at_[slot] = memory + block.columns.back();
  }
}

void BareStream::give_back(const Tile& tile) {
  {
    std::lock_guard lock(mutex_);
    left_ = tile.blocks_left;
  }
  changed_.notify_one();
}

void BareStream::epoch(const EachBatch& each) {
  read_ = left_ = known_ = 0;
  std::jthread reader([this] { read_blocks(); });
  uint32_t left = 0;
  size_t current = 0;
  uint32_t filled = 0;  // rows of the current batch
  for (const Tile& tile : tiles_) {
    float* features = batches_[current].get();
    float* labels = labels_[current].get();
    wait_for(tile);
    copy_tile(tile, features + size_t{filled} * rows_.width(), labels + filled);
    if (tile.blocks_left != left) give_back(tile);
    left = tile.blocks_left;
    filled += tile.count;
    if (filled < rows_.batch && &tile != &tiles_.back()) continue;
    each({features, size_t{filled} * rows_.width()}, {labels, filled});
    current = (current + 1) % kBatches;
    filled = 0;
  }
}

void BareStream::copy_tile(const Tile& tile, float* out, float* labels) {
  const Place* places = order_.data() + tile.first;
  const uint32_t width = rows_.width();
  copy_column<float>(places, tile.count, floats_at_, rows_.floats, out, width);
  if (rows_.integers > 0) {
    copy_column<int32_t>(places, tile.count, integers_at_, rows_.integers, out + rows_.floats,
                         width);
  }
  copy_column<float>(places, tile.count, labels_at_, 1, labels, 1);
}

}  // namespace ballast::bench
