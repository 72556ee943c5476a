#include "worker/data/order_replay.h"

#include <algorithm>

#include "common/base/check.h"
#include "worker/data/order_ledger.h"

namespace ballast {

OrderReplay::OrderReplay(const JobConfig& job, const Dataset& dataset)
    : schedule_(schedule_of(job)), window_(job.data.window), seed_(job.seed) {
  BALLAST_CHECK(job.data.order != Order::kAuto && dataset.rows() == schedule_.rows());
  if (job.data.order != Order::kStrip) {
    places_.emplace(job.data.order, schedule_.rows(), schedule_.lanes(), seed_);
    return;
  }
  for (uint64_t block = 0; block < dataset.block_count(); ++block) {
    block_rows_.push_back(dataset.block(block).stored.rows);
    first_rows_.push_back(dataset.block(block).first_row);
  }
}

std::vector<uint64_t> OrderReplay::rows(LaneId lane, Clock clock) {
  std::vector<uint64_t> rows(schedule_.samples_of(lane, clock));
  if (rows.empty()) return rows;
  const uint64_t epoch = schedule_.epoch_of(clock);
  uint64_t place = schedule_.first_position(clock);
  if (places_) {
    places_->positions(epoch, lane, place, rows);
    return rows;
  }
  if (!order_ || epoch != epoch_) {
    order_.emplace(block_rows_, schedule_.lanes(), window_, seed_, epoch);
    strip_.reset();
    pieces_.clear();
    epoch_ = epoch;
  }
  for (size_t done = 0; done < rows.size();) {
    const uint64_t strip = order_->strip_of(lane, place);
    enter_strip(lane, strip);
    const uint64_t first = place - order_->strip_begin(lane, strip);
    const uint64_t count = std::min<uint64_t>(rows.size() - done, strip_rows_.size() - first);
    std::copy_n(strip_rows_.begin() + static_cast<ptrdiff_t>(first), count,
                rows.begin() + static_cast<ptrdiff_t>(done));
    done += count;
    place += count;
  }
  return rows;
}

// Keeps the pieces that the new strip shares with the one before.
void OrderReplay::enter_strip(LaneId lane, uint64_t strip) {
  if (strip_ == strip && lane_ == lane) return;
  if (lane_ != lane) pieces_.clear();
  lane_ = lane;
  strip_ = strip;
  const std::vector<Share> shares = order_->shares(lane, strip);
  std::map<uint64_t, std::vector<uint64_t>> kept;
  for (const Share& share : shares) {
    auto held = pieces_.extract(share.piece);
    if (held) {
      kept.insert(std::move(held));
    } else {
      kept.try_emplace(share.piece, rows_of_piece(lane, share.piece));
    }
  }
  pieces_ = std::move(kept);
  std::vector<StripSample> samples(order_->strip_begin(lane, strip + 1) -
                                   order_->strip_begin(lane, strip));
  order_->permute_strip(lane, strip, samples);
  strip_rows_.clear();
  for (const StripSample& sample : samples) {
    strip_rows_.push_back(pieces_.at(shares[sample.share].piece)[sample.place]);
  }
}

std::vector<uint64_t> OrderReplay::rows_of_piece(LaneId lane, uint64_t index) const {
  const Piece piece = order_->piece(lane, index);
  std::vector<uint32_t> permuted(piece.rows);
  order_->permute_piece(lane, index, permuted);
  std::vector<uint64_t> rows;
  rows.reserve(piece.rows);
  for (uint32_t row : permuted) rows.push_back(first_rows_[piece.block] + piece.first_row + row);
  return rows;
}

std::map<Clock, uint64_t> OrderReplay::ledgers(LaneId lane, const std::set<Clock>& nexts) {
  std::map<Clock, uint64_t> sums;
  uint64_t sum = 0;
  Clock done = 0;
  for (const Clock next : nexts) {
    for (; done < std::min<Clock>(next, schedule_.steps()); ++done) {
      const std::vector<uint64_t> taken = rows(lane, done);
      if (!taken.empty()) sum += step_hash(lane, done, taken);
    }
    sums[next] = sum;
  }
  return sums;
}

}  // namespace ballast
