#include "worker/data/strip_order.h"

#include <algorithm>
#include <numeric>

namespace ballast {
namespace {

// Streams of the seed, apart from other uses of it.
constexpr uint64_t kBlockStream = 0x626c6f636b73;  // "blocks"
constexpr uint64_t kPieceStream = 0x7069656365;    // "piece"
constexpr uint64_t kStripStream = 0x7374726970;    // "strip"

}  // namespace

StripOrder::StripOrder(std::span<const uint32_t> block_rows, uint32_t lanes, uint32_t window,
                       uint64_t seed, uint64_t epoch)
    : window_(window), seed_(seed), epoch_(epoch), lanes_(lanes) {
  blocks_.reserve(block_rows.size());
  for (uint32_t block = 0; block < block_rows.size(); ++block) {
    if (block_rows[block] > 0) blocks_.push_back(block);
  }
  BALLAST_CHECK(!blocks_.empty() && lanes > 0 && window > 0);
  shuffle(std::span(blocks_), hash_numbers({seed, kBlockStream, epoch}));
  line_.reserve(blocks_.size() + 1);
  line_.push_back(0);
  for (uint32_t block : blocks_) {
    line_.push_back(line_.back() + block_rows[block]);
  }
  const uint64_t rows = line_.back();
  uint64_t begin = 0;
  for (uint32_t l = 0; l < lanes; ++l) {
    Lane& lane = lanes_[l];
    lane.begin = begin;
    lane.end = begin + rows / lanes + (l < rows % lanes ? 1 : 0);
    begin = lane.end;
    cut_lane(lane);
  }
}

// Share j of a piece of s rows is [s j / W, s (j + 1) / W): equal but for a row.
template <typename Each>
void StripOrder::for_shares(const Lane& lane, uint64_t strip, Each each) const {
  BALLAST_CHECK(strip < lane.pieces);
  const uint32_t window_here = window(lane);
  uint64_t index = strip;
  for (uint32_t j = 0; j < window_here; ++j) {
    const uint64_t rows = piece(lane, index).rows;
    const uint64_t first = rows * j / window_here;
    each(Share{index, static_cast<uint32_t>(first),
               static_cast<uint32_t>(rows * (j + 1) / window_here - first)});
    index = (index == 0 ? lane.pieces : index) - 1;
  }
}

// Which pieces the lane's run touches, and where its strips begin.
void StripOrder::cut_lane(Lane& lane) {
  lane.strips.push_back(0);
  if (lane.begin == lane.end) return;
  const auto after = [this](uint64_t row) {
    return static_cast<uint64_t>(std::upper_bound(line_.begin(), line_.end(), row) - line_.begin());
  };
  lane.first_piece = after(lane.begin) - 1;
  lane.pieces = after(lane.end - 1) - lane.first_piece;
  lane.strips.reserve(lane.pieces + 1);
  for (uint64_t strip = 0; strip < lane.pieces; ++strip) {
    uint64_t rows = 0;
    for_shares(lane, strip, [&](const Share& share) { rows += share.count; });
    lane.strips.push_back(lane.strips.back() + rows);
  }
}

const StripOrder::Lane& StripOrder::at(LaneId lane) const {
  BALLAST_CHECK(lane.value() < lanes_.size());
  return lanes_[lane.value()];
}

uint64_t StripOrder::piece_count(LaneId lane) const {
  return at(lane).pieces;
}

uint32_t StripOrder::window(LaneId lane) const {
  return window(at(lane));
}

uint32_t StripOrder::window(const Lane& lane) const {
  return static_cast<uint32_t>(std::min<uint64_t>(window_, lane.pieces));
}

Piece StripOrder::piece(LaneId lane, uint64_t index) const {
  return piece(at(lane), index);
}

Piece StripOrder::piece(const Lane& lane, uint64_t index) const {
  BALLAST_CHECK(index < lane.pieces);
  const uint64_t place = lane.first_piece + index;
  const uint64_t begin = std::max(lane.begin, line_[place]);
  const uint64_t end = std::min(lane.end, line_[place + 1]);
  return {blocks_[place], static_cast<uint32_t>(begin - line_[place]),
          static_cast<uint32_t>(end - begin)};
}

std::vector<Share> StripOrder::shares(LaneId lane, uint64_t strip) const {
  return shares(at(lane), strip);
}

std::vector<Share> StripOrder::shares(const Lane& lane, uint64_t strip) const {
  std::vector<Share> found;
  found.reserve(window(lane));
  for_shares(lane, strip, [&](const Share& share) { found.push_back(share); });
  return found;
}

uint64_t StripOrder::strip_begin(LaneId lane, uint64_t strip) const {
  BALLAST_CHECK(strip <= at(lane).pieces);
  return at(lane).strips[strip];
}

uint64_t StripOrder::strip_of(LaneId lane, uint64_t i) const {
  const std::vector<uint64_t>& strips = at(lane).strips;
  BALLAST_CHECK(i < strips.back());
  return static_cast<uint64_t>(std::upper_bound(strips.begin(), strips.end(), i) - strips.begin()) -
         1;
}

void StripOrder::permute_piece(LaneId lane, uint64_t index, std::span<uint32_t> rows) const {
  BALLAST_CHECK(rows.size() == piece(lane, index).rows);
  std::iota(rows.begin(), rows.end(), 0u);
  shuffle(rows, hash_numbers({seed_, kPieceStream, epoch_, lane.value(), index}));
}

uint64_t StripOrder::strip_key(LaneId lane, uint64_t strip) const {
  return hash_numbers({seed_, kStripStream, epoch_, lane.value(), strip});
}

uint64_t StripOrder::extra_reads() const {
  uint64_t reads = 0;
  for (const Lane& lane : lanes_) {
    reads += lane.pieces;
    if (lane.pieces > window_) reads += window_ - 1;
  }
  return reads - blocks_.size();
}

}  // namespace ballast
