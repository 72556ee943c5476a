#include "worker/data/stream_rows.h"

#include <algorithm>

#include "common/base/check.h"
#include "worker/data/list_rows.h"

namespace ballast {
namespace {

// Lanes may stand in neighbouring epochs, and look ahead into the next.
constexpr size_t kOrdersKept = 3;

// On the scale of all lanes, above 0.
uint64_t time_of(uint64_t epoch, uint64_t strip) {
  return (epoch << 32) + strip + 1;
}

// What a lane asks for in an epoch: the pieces of its first strip, then the newest of each strip,
// unless it has been held since the first.
std::vector<BlockUse> uses_of(const StripOrder& order, LaneId lane, uint64_t epoch) {
  std::vector<BlockUse> uses;
  const uint64_t pieces = order.piece_count(lane);
  if (pieces == 0) return uses;
  for (const Share& share : order.shares(lane, 0)) {
    uses.push_back({order.piece(lane, share.piece).block, time_of(epoch, 0)});
  }
  if (order.window(lane) == pieces) return uses;
  for (uint64_t strip = 1; strip < pieces; ++strip) {
    uses.push_back({order.piece(lane, strip).block, time_of(epoch, strip)});
  }
  return uses;
}

}  // namespace

StreamRows::StreamRows(std::shared_ptr<const Dataset> dataset, RowPlan plan,
                       std::unique_ptr<BlockStore> store, BlockSampling sampling, uint32_t lanes,
                       uint32_t window, uint64_t seed, uint64_t epochs)
    : dataset_(std::move(dataset)),
      plan_(std::move(plan)),
      store_(std::move(store)),
      sampling_(std::move(sampling)),
      window_(window),
      seed_(seed),
      epochs_(epochs),
      lanes_(lanes) {}

auto StreamRows::order_of(uint64_t epoch) -> std::shared_ptr<const EpochOrder> {
  std::lock_guard lock(mutex_);
  if (const auto known = orders_.find(epoch); known != orders_.end()) return known->second;
  SampledEpoch samples = sampling_.epoch(epoch);
  StripOrder strips(sampling_.block_samples(samples), static_cast<uint32_t>(lanes_.size()), window_,
                    seed_, epoch);
  auto order = std::make_shared<const EpochOrder>(std::move(samples), std::move(strips));
  if (orders_.size() >= kOrdersKept) orders_.erase(orders_.begin());
  orders_[epoch] = order;
  return order;
}

Status StreamRows::read(uint64_t epoch, LaneId id, uint64_t first, const RowRoom& room) {
  BALLAST_CHECK(id.value() < lanes_.size());
  LaneStrip& lane = lanes_[id.value()];
  std::lock_guard lock(lane.mutex);
  RowRoom left = room;
  while (!left.ids.empty()) {
    const std::shared_ptr<const EpochOrder> order =
        lane.order != nullptr && lane.epoch == epoch ? lane.order : order_of(epoch);
    const uint64_t strip = order->strips.strip_of(id, first);
    BALLAST_RETURN_IF_ERROR(open_strip(lane, id, epoch, strip));
    const uint64_t end = order->strips.strip_begin(id, strip + 1);
    const uint64_t count = std::min<uint64_t>(left.ids.size(), end - first);
    gather_rows(lane, first - order->strips.strip_begin(id, strip),
                {left.ids.first(count), left.features, left.labels, left.weights, left.blocks});
    first += count;
    left = {left.ids.subspan(count), left.features + count * plan_.width,
            left.labels + count * plan_.label.width, left.weights + count, left.blocks};
  }
  return {};
}

void StreamRows::forget(LaneId id) {
  BALLAST_CHECK(id.value() < lanes_.size());
  LaneStrip& lane = lanes_[id.value()];
  std::lock_guard lock(lane.mutex);
  lane.order = nullptr;
  lane.pieces.clear();
  lane.shares.clear();
  lane.samples = {};
  store_->forget_uses(id);
}

// lane.mutex held. Keeps the pieces that the new strip shares with the one before.
Status StreamRows::open_strip(LaneStrip& lane, LaneId id, uint64_t epoch, uint64_t strip) {
  if (lane.order != nullptr && lane.epoch == epoch && lane.strip == strip) return {};
  if (store_->keeps()) say_uses(lane, id, epoch, strip);
  if (lane.order == nullptr || lane.epoch != epoch) {
    lane.order = order_of(epoch);
    tell_order(epoch);
    if (epoch + 1 < epochs_) tell_order(epoch + 1);
    lane.pieces.clear();
  }
  lane.epoch = epoch;
  lane.strip = strip;
  const StripOrder& order = lane.order->strips;
  const std::vector<Share> shares = order.shares(id, strip);
  std::map<uint64_t, HeldPiece> kept;
  for (const Share& share : shares) {
    if (auto held = lane.pieces.extract(share.piece)) kept.insert(std::move(held));
  }
  lane.pieces = std::move(kept);
  lane.shares.clear();
  lane.samples.clear();
  for (const Share& share : shares) {
    if (!lane.pieces.contains(share.piece)) store_->prefetch(order.piece(id, share.piece).block);
  }
  for (const Share& share : shares) {
    auto held = lane.pieces.find(share.piece);
    if (held == lane.pieces.end()) {
      Result<HeldPiece> piece = open_piece(lane, id, share.piece);
      if (!piece.ok()) {
        lane.order = nullptr;  // nothing of this strip is to be used
        lane.pieces.clear();
        return piece.status();
      }
      held = lane.pieces.emplace(share.piece, std::move(*piece)).first;
    }
    lane.shares.push_back(&held->second);
  }
  lane.samples.resize(order.strip_begin(id, strip + 1) - order.strip_begin(id, strip));
  order.permute_strip(id, strip, lane.samples);
  look_ahead(lane, id);
  return {};
}

// lane.mutex held. What the lane will ask for in this epoch and the next, once, and how far it is.
void StreamRows::say_uses(LaneStrip& lane, LaneId id, uint64_t epoch, uint64_t strip) {
  const bool goes_on =
      lane.order != nullptr && time_of(epoch, strip) > time_of(lane.epoch, lane.strip);
  if (!goes_on) {
    store_->forget_uses(id);
    lane.epochs_said = epoch;
  }
  lane.epochs_said = std::max(lane.epochs_said, epoch);
  for (; lane.epochs_said < std::min(epoch + 2, epochs_); ++lane.epochs_said) {
    store_->expect_uses(id, uses_of(order_of(lane.epochs_said)->strips, id, lane.epochs_said));
  }
  store_->passed(id, time_of(epoch, strip) - 1);
}

// lane.mutex held. Waits for the block.
Result<StreamRows::HeldPiece> StreamRows::open_piece(const LaneStrip& lane, LaneId id,
                                                     uint64_t number) {
  const Piece piece = lane.order->strips.piece(id, number);
  HeldPiece held;
  held.block_number = piece.block;
  BALLAST_ASSIGN(held.block, store_->get(piece.block));
  held.rows.resize(piece.rows);
  lane.order->strips.permute_piece(id, number, held.rows);
  for (uint32_t& row : held.rows) row += piece.first_row;
  if (sampling_.each_row_once()) return held;
  BALLAST_ASSIGN(const std::vector<uint32_t> by_class, rows_by_class(*held.block, piece.block));
  held.passes.resize(piece.rows);
  sampling_.take(lane.order->samples, piece.block, by_class, held.rows, held.passes);
  return held;
}

Result<std::vector<uint32_t>> StreamRows::rows_by_class(const Block& block, uint64_t number) const {
  if (!sampling_.by_class()) return std::vector<uint32_t>();
  const size_t label = plan_.label.input;
  const ColumnSpec& spec = plan_.columns[label].spec;
  return sampling_.rows_by_class(
      number, spec, {block.column(label), block.place().stored.rows * spec.row_bytes()},
      dataset_->block_name(block.place()));
}

// The newest piece of each of the next strips, into the next epoch at the end of this one.
void StreamRows::look_ahead(const LaneStrip& lane, LaneId id) {
  for (uint64_t strip = lane.strip + 1; strip <= lane.strip + kBlocksAhead; ++strip) {
    const uint64_t pieces = lane.order->strips.piece_count(id);
    if (strip < pieces) {
      store_->prefetch(lane.order->strips.piece(id, strip).block);
    } else if (lane.epoch + 1 < epochs_) {
      const std::shared_ptr<const EpochOrder> next = order_of(lane.epoch + 1);
      if (strip - pieces < next->strips.piece_count(id)) {
        store_->prefetch(next->strips.piece(id, strip - pieces).block);
      }
    }
  }
}

// A flag a share, not a look a row: a strip has few of them.
void StreamRows::add_blocks(const LaneStrip& lane, std::span<const StripSample> samples,
                            std::vector<uint64_t>& blocks) {
  std::vector<uint8_t> used(lane.shares.size(), 0);
  for (const StripSample& sample : samples) used[sample.share] = 1;
  for (size_t share = 0; share < used.size(); ++share) {
    if (used[share]) blocks.push_back(lane.shares[share]->block_number);
  }
}

// When each block of the epoch is needed, by whichever worker: what keeps blocks on a disk that
// workers share can then keep those that are needed next.
void StreamRows::tell_order(uint64_t epoch) {
  {
    std::lock_guard lock(mutex_);
    if (epoch < epochs_told_) return;
    epochs_told_ = epoch + 1;
  }
  const std::shared_ptr<const EpochOrder> order = order_of(epoch);
  for (uint32_t lane = 0; lane < lanes_.size(); ++lane) {
    for (uint64_t piece = 0; piece < order->strips.piece_count(LaneId(lane)); ++piece) {
      store_->expect(order->strips.piece(LaneId(lane), piece).block, ((epoch + 1) << 32) + piece);
    }
  }
}

void StreamRows::gather_rows(const LaneStrip& lane, uint64_t first, const RowRoom& room) const {
  const size_t count = room.ids.size();
  const std::span samples(lane.samples.data() + first, count);
  std::vector<uint32_t> rows(count);  // in their blocks
  for (size_t i = 0; i < count; ++i) {
    const HeldPiece& piece = *lane.shares[samples[i].share];
    rows[i] = piece.rows[samples[i].place];
    room.ids[i] = piece.block->place().first_row + rows[i];
  }
  std::vector<uint32_t> passes(sampling_.each_row_once() ? 0 : count);
  for (size_t i = 0; i < passes.size(); ++i) {
    passes[i] = lane.shares[samples[i].share]->passes[samples[i].place];
  }
  if (room.blocks != nullptr) add_blocks(lane, samples, *room.blocks);
  const auto find = [&](size_t column, std::span<const std::byte*> out) {
    const uint64_t row_bytes = held_row_bytes(plan_.columns[column].spec);
    for (size_t i = 0; i < count; ++i) {
      out[i] = lane.shares[samples[i].share]->block->column(column) + rows[i] * row_bytes;
    }
  };
  ballast::gather_rows(plan_, passes.empty() ? RowPasses(lane.epoch) : RowPasses(passes), find,
                       room);
}

}  // namespace ballast
