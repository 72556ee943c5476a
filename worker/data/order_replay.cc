#include "worker/data/order_replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/order_ledger.h"

namespace ballast {

Result<OrderReplay> OrderReplay::open(const JobConfig& job,
                                      std::shared_ptr<const Dataset> dataset) {
  BALLAST_ASSIGN(BlockSampling sampling, BlockSampling::open(job.data, job.seed, *dataset));
  const uint64_t expected = schedule_of(job).rows();
  if (sampling.samples() != expected) {
    return Status(Code::kInvalidInput,
                  fmt::format("data set {}: {} samples an epoch expected, {} found: is it the data "
                              "of that run?",
                              dataset->folder(), expected, sampling.samples()));
  }
  return OrderReplay(job, std::move(dataset), std::move(sampling));
}

OrderReplay::OrderReplay(const JobConfig& job, std::shared_ptr<const Dataset> dataset,
                         BlockSampling sampling)
    : schedule_(schedule_of(job)),
      window_(job.data.window),
      seed_(job.seed),
      label_(job.data.label),
      dataset_(std::move(dataset)),
      sampling_(std::move(sampling)) {
  BALLAST_CHECK(job.data.order != Order::kAuto);
  if (job.data.order == Order::kStrip) return;
  places_.emplace(job.data.order, schedule_.rows(), schedule_.lanes(), seed_);
}

Result<std::vector<uint64_t>> OrderReplay::rows(LaneId lane, Clock clock) {
  std::vector<uint64_t> rows(schedule_.samples_of(lane, clock));
  if (rows.empty()) return rows;
  const uint64_t epoch = schedule_.epoch_of(clock);
  uint64_t place = schedule_.first_position(clock);
  enter_epoch(epoch);
  if (places_) {
    places_->positions(epoch, lane, place, rows);
    BALLAST_RETURN_IF_ERROR(take_places(rows));
    return rows;
  }
  for (size_t done = 0; done < rows.size();) {
    const uint64_t strip = order_->strip_of(lane, place);
    BALLAST_RETURN_IF_ERROR(enter_strip(lane, strip));
    const uint64_t first = place - order_->strip_begin(lane, strip);
    const uint64_t count = std::min<uint64_t>(rows.size() - done, strip_rows_.size() - first);
    std::copy_n(strip_rows_.begin() + static_cast<ptrdiff_t>(first), count,
                rows.begin() + static_cast<ptrdiff_t>(done));
    done += count;
    place += count;
  }
  return rows;
}

void OrderReplay::enter_epoch(uint64_t epoch) {
  if (epoch_ && epoch_->number == epoch) return;
  epoch_ = sampling_.epoch(epoch);
  if (places_) return;
  order_.emplace(sampling_.block_samples(*epoch_), schedule_.lanes(), window_, seed_, epoch);
  strip_.reset();
  pieces_.clear();
}

// Places on the line of all samples become rows of the data set.
Status OrderReplay::take_places(std::span<uint64_t> places) {
  if (sampling_.each_row_once()) return {};
  for (uint64_t& place : places) {
    const SampledEpoch::Place at = epoch_->place_of(place);
    auto known = by_class_.find(at.block);
    if (known == by_class_.end()) {
      BALLAST_ASSIGN(std::vector<uint32_t> by_class, rows_by_class(at.block));
      known = by_class_.emplace(at.block, std::move(by_class)).first;
    }
    place = dataset_->block(at.block).first_row +
            sampling_.take(*epoch_, at.block, at.place, known->second).row;
  }
  return {};
}

// Keeps the pieces that the new strip shares with the one before.
Status OrderReplay::enter_strip(LaneId lane, uint64_t strip) {
  if (strip_ == strip && lane_ == lane) return {};
  if (lane_ != lane) pieces_.clear();
  lane_ = lane;
  strip_.reset();  // until it is whole
  const std::vector<Share> shares = order_->shares(lane, strip);
  std::map<uint64_t, std::vector<uint64_t>> kept;
  for (const Share& share : shares) {
    auto held = pieces_.extract(share.piece);
    if (held) {
      kept.insert(std::move(held));
    } else {
      BALLAST_ASSIGN(std::vector<uint64_t> rows, rows_of_piece(lane, share.piece));
      kept.try_emplace(share.piece, std::move(rows));
    }
  }
  pieces_ = std::move(kept);
  strip_rows_.clear();
  for (const Share& share : shares) {
    const auto begin = pieces_.at(share.piece).begin() + share.first;
    strip_rows_.insert(strip_rows_.end(), begin, begin + share.count);
  }
  order_->permute_strip(lane, strip, std::span(strip_rows_));
  strip_ = strip;
  return {};
}

Result<std::vector<uint64_t>> OrderReplay::rows_of_piece(LaneId lane, uint64_t index) const {
  const Piece piece = order_->piece(lane, index);
  std::vector<uint32_t> rows(piece.rows);
  order_->permute_piece(lane, index, rows);
  for (uint32_t& row : rows) row += piece.first_row;
  BALLAST_ASSIGN(const std::vector<uint32_t> by_class, rows_by_class(piece.block));
  sampling_.take(*epoch_, piece.block, by_class, rows, {});
  const uint64_t first_row = dataset_->block(piece.block).first_row;
  std::vector<uint64_t> taken;
  taken.reserve(rows.size());
  for (uint32_t row : rows) taken.push_back(first_row + row);
  return taken;
}

Result<std::vector<uint32_t>> OrderReplay::rows_by_class(uint64_t index) const {
  if (!sampling_.by_class()) return std::vector<uint32_t>();
  const BlockPlace block = dataset_->block(index);
  BALLAST_ASSIGN(const size_t column, dataset_->find_column(label_));
  BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(*dataset_, block.chunk));
  BALLAST_ASSIGN(const ColumnBlock labels, chunk.read_values(block.index_in_chunk, column));
  return sampling_.rows_by_class(index, dataset_->columns()[column], labels.values.bytes(),
                                 dataset_->block_name(block));
}

// The sum of what the step's batches enter.
uint64_t OrderReplay::hash_of(LaneId lane, Clock clock, std::span<const uint64_t> taken) const {
  uint64_t sum = 0;
  for (Clock batch = schedule_.first_batch(clock); !taken.empty(); ++batch) {
    const size_t count = std::min<size_t>(taken.size(), schedule_.lane_batch());
    sum += batch_hash(lane, batch, taken.first(count));
    taken = taken.subspan(count);
  }
  return sum;
}

Result<std::map<Clock, uint64_t>> OrderReplay::ledgers(LaneId lane, const std::set<Clock>& nexts) {
  std::map<Clock, uint64_t> sums;
  uint64_t sum = 0;
  Clock done = 0;
  for (const Clock next : nexts) {
    for (; done < std::min<Clock>(next, schedule_.steps()); ++done) {
      BALLAST_ASSIGN(const std::vector<uint64_t> taken, rows(lane, done));
      sum += hash_of(lane, done, taken);
    }
    sums[next] = sum;
  }
  return sums;
}

}  // namespace ballast
