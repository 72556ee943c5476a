#include "worker/data/stream_rows.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {
namespace {

// Lanes may stand in neighbouring epochs, and look ahead into the next.
constexpr size_t kOrdersKept = 3;

// On the scale of all lanes, above 0.
uint64_t time_of(uint64_t epoch, uint64_t strip) {
  return (epoch << 32) + strip + 1;
}
uint64_t epoch_of(uint64_t time) {
  return (time - 1) >> 32;
}

// What a lane asks for in an epoch: the pieces of its first strip, then the newest of each strip,
// unless it has been held since the first.
std::vector<BlockUse> uses_of(const StripOrder& order, LaneId lane, uint64_t epoch) {
  std::vector<BlockUse> uses;
  const uint64_t pieces = order.piece_count(lane);
  if (pieces == 0) return uses;
  uses.reserve(order.window(lane) + pieces);
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
                       uint32_t window, uint32_t ahead, uint64_t seed, uint64_t epochs)
    : dataset_(std::move(dataset)),
      plan_(std::move(plan)),
      store_(std::move(store)),
      sampling_(std::move(sampling)),
      window_(window),
      ahead_(ahead),
      seed_(seed),
      epochs_(epochs),
      lanes_(lanes),
      reached_(lanes, 0) {}

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
  RowRoom left = room;
  while (!left.ids.empty()) {
    BALLAST_ASSIGN(const std::shared_ptr<const Strip> strip,
                   strip_for(id, epoch, first, left.ids.size()));
    const uint64_t begin = strip->order->strips.strip_begin(id, strip->number);
    const uint64_t count =
        std::min<uint64_t>(left.ids.size(), begin + strip->samples.size() - first);
    gather_rows(*strip, first - begin,
                {left.ids.first(count), left.features, left.labels, left.weights, left.blocks});
    first += count;
    left = {left.ids.subspan(count), left.features + count * plan_.feature_bytes(),
            left.labels + count * plan_.label.width, left.weights + count, left.blocks};
  }
  return {};
}

void StreamRows::forget(LaneId id) {
  BALLAST_CHECK(id.value() < lanes_.size());
  Lane& lane = lanes_[id.value()];
  std::lock_guard lock(lane.mutex);
  lane.open = nullptr;
  lane.first_said = lane.epochs_said = 0;
  store_->forget_uses(id);
  std::lock_guard guard(reached_mutex_);
  reached_[id.value()] = 0;
}

// Of the open strip; or of the next one, if its new block is there and whoever reads the rows
// before these has begun: the strip that was open would have to be opened again for him.
bool StreamRows::at_hand(uint64_t epoch, LaneId id, uint64_t first, uint64_t count) {
  Lane& lane = lanes_[id.value()];
  const std::unique_lock lock(lane.mutex, std::try_to_lock);
  if (!lock.owns_lock() || lane.open == nullptr || lane.open->epoch != epoch) return false;
  const StripOrder& strips = lane.open->order->strips;
  const uint64_t strip = lane.open->number;
  if (first < strips.strip_begin(id, strip)) return false;
  if (first + count <= strips.strip_begin(id, strip + 1)) return true;
  const uint64_t next = strip + 1;
  return next < strips.piece_count(id) && first + count <= strips.strip_begin(id, next + 1) &&
         lane.read_to >= first &&
         (lane.open->pieces.contains(next) || store_->at_hand(strips.piece(id, next).block));
}

// The strip of the lane's sample `first`, for so many from there, or as many as it has. Waits for
// its blocks, and for whoever opens one of the lane.
Result<std::shared_ptr<const StreamRows::Strip>> StreamRows::strip_for(LaneId id, uint64_t epoch,
                                                                       uint64_t first,
                                                                       uint64_t count) {
  BALLAST_CHECK(id.value() < lanes_.size());
  Lane& lane = lanes_[id.value()];
  std::lock_guard lock(lane.mutex);
  std::shared_ptr<const EpochOrder> order =
      lane.open != nullptr && lane.open->epoch == epoch ? lane.open->order : order_of(epoch);
  const uint64_t number = order->strips.strip_of(id, first);
  lane.read_to = std::min(first + count, order->strips.strip_begin(id, number + 1));
  if (lane.open != nullptr && lane.open->epoch == epoch && lane.open->number == number) {
    return lane.open;
  }
  return open_strip(lane, id, epoch, std::move(order), number);
}

// lane.mutex held. Takes over the pieces that it shares with the one before.
Result<std::shared_ptr<const StreamRows::Strip>> StreamRows::open_strip(
    Lane& lane, LaneId id, uint64_t epoch, std::shared_ptr<const EpochOrder> order,
    uint64_t number) {
  if (store_->keeps()) say_uses(lane, id, epoch, number);
  say_reached(id, time_of(epoch, number));
  std::shared_ptr<const Strip> before = std::exchange(lane.open, nullptr);
  auto strip = std::make_shared<Strip>();
  strip->epoch = epoch;
  strip->number = number;
  strip->order = std::move(order);
  const StripOrder& strips = strip->order->strips;
  const bool same_epoch = before != nullptr && before->epoch == epoch;
  if (before != nullptr && before->epoch > epoch) tell_again_from(epoch);
  if (!same_epoch) {
    tell_order(epoch);
    if (epoch + 1 < epochs_) tell_order(epoch + 1);
  }
  const std::vector<Share> shares = strips.shares(id, number);
  for (const Share& share : shares) {
    if (!same_epoch) break;
    if (const auto held = before->pieces.find(share.piece); held != before->pieces.end()) {
      strip->pieces.insert(*held);
    }
  }
  before = nullptr;  // the block that it alone has makes room for the new one
  for (const Share& share : shares) {
    if (!strip->pieces.contains(share.piece)) store_->prefetch(strips.piece(id, share.piece).block);
  }
  for (const Share& share : shares) {
    std::shared_ptr<const HeldPiece>& held = strip->pieces[share.piece];
    if (held == nullptr) {
      BALLAST_ASSIGN(held, open_piece(*strip->order, id, share.piece));
    }
    strip->shares.push_back(held.get());
  }
  order_samples(*strip, id, shares);
  look_ahead(*strip, id);
  lane.open = strip;
  return lane.open;
}

// Of a strip whose pieces are there: which rows they are, in which order, where their columns
// begin.
void StreamRows::order_samples(Strip& strip, LaneId id, std::span<const Share> shares) const {
  const StripOrder& strips = strip.order->strips;
  uint64_t rows = 0;
  for (const Share& share : shares) rows += share.count;
  strip.samples.resize(rows);
  auto sample = strip.samples.begin();
  for (uint32_t number = 0; number < shares.size(); ++number) {
    const Share& share = shares[number];
    const HeldPiece& piece = *strip.shares[number];
    strip.first_rows.push_back(piece.block->place().first_row);
    for (const uint32_t row : std::span(piece.rows).subspan(share.first, share.count)) {
      *sample++ = HeldRows::place(number, row);
    }
    if (!piece.passes.empty()) {
      const auto begin = piece.passes.begin() + share.first;
      strip.passes.insert(strip.passes.end(), begin, begin + share.count);
    }
  }
  strips.permute_strip(id, strip.number, std::span(strip.samples));
  if (!strip.passes.empty()) strips.permute_strip(id, strip.number, std::span(strip.passes));
  for (size_t column = 0; column < plan_.columns.size(); ++column) {
    for (const HeldPiece* piece : strip.shares) {
      strip.columns.push_back(piece->block->column(column));
    }
  }
}

// lane.mutex held. What the lane will ask for in this epoch and the next, once, and how far it is.
void StreamRows::say_uses(Lane& lane, LaneId id, uint64_t epoch, uint64_t strip) {
  // Of what it said the store forgets what has been, two epochs later: who goes back says it again.
  if (epoch < lane.first_said || epoch > lane.epochs_said || epoch + 2 < lane.epochs_said) {
    store_->forget_uses(id);
    lane.first_said = lane.epochs_said = epoch;
  }
  for (; lane.epochs_said < std::min(epoch + 2, epochs_); ++lane.epochs_said) {
    store_->expect_uses(id, uses_of(order_of(lane.epochs_said)->strips, id, lane.epochs_said));
  }
  store_->passed(id, time_of(epoch, strip) - 1);
}

// Waits for the block.
Result<std::shared_ptr<const StreamRows::HeldPiece>> StreamRows::open_piece(const EpochOrder& order,
                                                                            LaneId id,
                                                                            uint64_t number) {
  const Piece piece = order.strips.piece(id, number);
  HeldPiece held;
  held.block_number = piece.block;
  BALLAST_ASSIGN(held.block, store_->get(piece.block));
  held.rows.resize(piece.rows);
  order.strips.permute_piece(id, number, held.rows);
  for (uint32_t& row : held.rows) row += piece.first_row;
  if (sampling_.each_row_once()) return std::make_shared<const HeldPiece>(std::move(held));
  BALLAST_ASSIGN(const std::vector<uint32_t> by_class, rows_by_class(*held.block, piece.block));
  held.passes.resize(piece.rows);
  sampling_.take(order.samples, piece.block, by_class, held.rows, held.passes);
  return std::make_shared<const HeldPiece>(std::move(held));
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
void StreamRows::look_ahead(const Strip& strip, LaneId id) {
  const StripOrder& strips = strip.order->strips;
  const uint64_t pieces = strips.piece_count(id);
  for (uint64_t number = strip.number + 1; number <= strip.number + ahead_; ++number) {
    if (number < pieces) {
      store_->prefetch(strips.piece(id, number).block);
    } else if (strip.epoch + 1 < epochs_) {
      const std::shared_ptr<const EpochOrder> next = order_of(strip.epoch + 1);
      if (number - pieces < next->strips.piece_count(id)) {
        store_->prefetch(next->strips.piece(id, number - pieces).block);
      }
    }
  }
}

// A flag a share, not a look a row: a strip has few of them.
void StreamRows::add_blocks(const Strip& strip, std::span<const uint64_t> samples,
                            std::vector<uint64_t>& blocks) {
  std::vector<uint8_t> used(strip.shares.size(), 0);
  for (const uint64_t sample : samples) used[HeldRows::share_of(sample)] = 1;
  for (size_t share = 0; share < used.size(); ++share) {
    if (used[share]) blocks.push_back(strip.shares[share]->block_number);
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
    for (const BlockUse& use : uses_of(order->strips, LaneId(lane), epoch)) {
      store_->expect(use.block, use.when);
    }
  }
}

// What has been was forgotten since.
void StreamRows::tell_again_from(uint64_t epoch) {
  std::lock_guard lock(mutex_);
  epochs_told_ = std::min(epochs_told_, epoch);
}

// What the slowest lane that is read here has behind it, others' lanes have too, or nearly: all go
// on alike. A lane that is more than an epoch behind the fastest does not count, so that the uses
// of three epochs are all that is remembered.
void StreamRows::say_reached(LaneId id, uint64_t when) {
  constexpr uint64_t kStripsBehind = 2;  // this one, which is asked for now, and one for the others
  std::lock_guard lock(reached_mutex_);
  reached_[id.value()] = when;
  uint64_t slowest = when;
  for (uint64_t lane : reached_) {
    if (lane != 0) slowest = std::min(slowest, lane);
  }
  const uint64_t fastest = *std::ranges::max_element(reached_);
  const uint64_t epoch = epoch_of(fastest);
  slowest = std::max(slowest, epoch > 0 ? time_of(epoch - 1, 0) : 0);
  store_->reached(slowest - std::min(slowest, kStripsBehind));
}

void StreamRows::gather_rows(const Strip& strip, uint64_t first, const RowRoom& room) const {
  const size_t count = room.ids.size();
  const std::span samples(strip.samples.data() + first, count);
  for (size_t i = 0; i < count; ++i) {
    room.ids[i] = strip.first_rows[HeldRows::share_of(samples[i])] + HeldRows::row_of(samples[i]);
  }
  if (room.blocks != nullptr) add_blocks(strip, samples, *room.blocks);
  const RowPasses passes = strip.passes.empty()
                               ? RowPasses(strip.epoch)
                               : RowPasses(std::span(strip.passes).subspan(first, count));
  ballast::gather_rows(plan_, passes, {samples, strip.columns, strip.shares.size()}, room);
}

}  // namespace ballast
