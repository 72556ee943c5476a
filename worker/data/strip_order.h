// StripOrder: the sample order of one epoch for data larger than memory: lanes x sliding strip.
// A pure function of (block sizes, lanes, window, seed, epoch); a few numbers a block, nothing a
// row. Immutable after construction; any thread.
//
// The blocks of the data set are put into a keyed order, their rows laid end to end, and that line
// is cut into one run for each lane, as long as LaneSchedule says; so a lane has a row of pieces,
// each a block or, at its two ends, a part of one. The rows of a piece are permuted and dealt in
// equal shares to the W strips that begin with it: share j of piece k is in strip k + j, the last
// wrapping around to the first. A strip mixes W blocks in equal shares and is permuted as a whole;
// a lane's samples are its strips in order. So a lane holds W pieces at a time, needs one new one a
// strip, and sample i follows from i alone: nothing else has to be kept to go on.
//
// Wrapping around reads the last W - 1 pieces of a lane twice, once at its beginning, unless it has
// no more than W and holds them all; a cut block is read by two lanes. So an epoch of B blocks
// reads
//   sum over lanes of (P + W - 1 if P > W, else P),  P: the lane's pieces, of which there are B and
// at most lanes - 1 for the cuts. extra_reads() is that less B.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/random.h"

namespace ballast {

// A run of rows of one block.
struct Piece {
  uint64_t block = 0;
  uint32_t first_row = 0;  // in the block
  uint32_t rows = 0;
};

// A share of a piece: rows [first, first + count) of its permuted rows.
struct Share {
  uint64_t piece = 0;  // of the lane
  uint32_t first = 0;
  uint32_t count = 0;
};

class StripOrder {
 public:
  // block_rows: of every block of the data set; one that has none is no part of the epoch. At least
  // one row in all; lanes, window >= 1. A lane with fewer pieces than the window has a window of
  // its pieces.
  StripOrder(std::span<const uint32_t> block_rows, uint32_t lanes, uint32_t window, uint64_t seed,
             uint64_t epoch);

  [[nodiscard]] uint64_t piece_count(LaneId lane) const;
  [[nodiscard]] Piece piece(LaneId lane, uint64_t index) const;
  // As many strips as pieces.
  [[nodiscard]] uint32_t window(LaneId lane) const;

  // The lane's sample at which the strip begins; strip == piece_count(lane): the lane's rows.
  [[nodiscard]] uint64_t strip_begin(LaneId lane, uint64_t strip) const;
  // The strip that has the lane's sample i.
  [[nodiscard]] uint64_t strip_of(LaneId lane, uint64_t i) const;
  // The shares a strip is made of, by rising age: the newest piece first.
  [[nodiscard]] std::vector<Share> shares(LaneId lane, uint64_t strip) const;

  // The rows of a piece, from its first row, in the order its shares are cut from. Once a piece:
  // the W strips that use it look rows up in it. `rows` has Piece::rows places.
  void permute_piece(LaneId lane, uint64_t index, std::span<uint32_t> rows) const;
  // From the order of shares() to that of the strip: a value for each of its samples, as many as
  // strip_begin(s + 1) - strip_begin(s).
  template <typename T>
  void permute_strip(LaneId lane, uint64_t strip, std::span<T> samples) const {
    BALLAST_CHECK(samples.size() == strip_begin(lane, strip + 1) - strip_begin(lane, strip));
    shuffle(samples, strip_key(lane, strip));
  }

  // Blocks read more often than once in the epoch, in blocks.
  [[nodiscard]] uint64_t extra_reads() const;

 private:
  struct Lane {
    uint64_t first_piece = 0;  // into the keyed order of blocks
    uint64_t pieces = 0;
    uint64_t begin = 0;  // its run on the line of all rows
    uint64_t end = 0;
    std::vector<uint64_t> strips;  // strip_begin of each, and the end
  };

  // Fisher and Yates: all places at once, in cache, for less than a keyed permutation (order.h)
  // takes.
  template <typename T>
  static void shuffle(std::span<T> values, uint64_t key) {
    Random random(key);
    for (size_t left = values.size(); left > 1; --left) {
      std::swap(values[left - 1], values[random.below(left)]);
    }
  }
  [[nodiscard]] uint64_t strip_key(LaneId lane, uint64_t strip) const;
  void cut_lane(Lane& lane);
  [[nodiscard]] const Lane& at(LaneId lane) const;
  [[nodiscard]] Piece piece(const Lane& lane, uint64_t index) const;
  [[nodiscard]] uint32_t window(const Lane& lane) const;
  [[nodiscard]] std::vector<Share> shares(const Lane& lane, uint64_t strip) const;
  template <typename Each>
  void for_shares(const Lane& lane, uint64_t strip, Each each) const;

  uint32_t window_;
  uint64_t seed_;
  uint64_t epoch_;
  std::vector<uint32_t> blocks_;  // in the keyed order
  std::vector<uint64_t> line_;    // where each of them begins on the line, and the end
  std::vector<Lane> lanes_;
};

}  // namespace ballast
