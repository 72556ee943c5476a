// KeptBlocks: blocks in memory that nobody holds, and when each block of the data set is needed
// next. Who needs a place gives up the block that is needed latest (Belady, "A study of replacement
// algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966): unlike most caches
// this one knows, since the order of the lanes is arithmetic.
//
// A lane says its uses of an epoch before it begins, and how far it has come; times of all lanes
// are on one scale, because they go on alike. Owner: the BlockStore, under its mutex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "common/base/ids.h"

namespace ballast {

class Block;

// A lane will ask for the block at this time, 1 or more.
struct BlockUse {
  uint64_t block = 0;
  uint64_t when = 0;
};

class KeptBlocks {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
  // What is remembered for each block of the data set: a list of four uses (of a lane in two
  // epochs, with room for those that have been).
  static constexpr uint64_t kBytesPerBlock = 24 + 4 * 16 + 16;
  // And for each that is kept: a place in each of two trees.
  static constexpr uint64_t kBytesPerKept = 80 + 64;

  struct Kept {
    std::shared_ptr<Block> block;
    bool read_ahead = false;  // nobody has held it yet
  };

  explicit KeptBlocks(uint64_t block_count);

  // Beside what the lane said before.
  void expect(LaneId lane, std::span<const BlockUse> uses);
  // The lane's uses up to `when` have been, and no later ones: it may have gone back.
  void passed(LaneId lane, uint64_t when);
  // The lane will ask for nothing of what it said.
  void forget(LaneId lane);
  // Of all lanes; kNever: nobody said so.
  [[nodiscard]] uint64_t next_use(uint64_t block) const;

  [[nodiscard]] bool contains(uint64_t block) const { return kept_.contains(block); }
  [[nodiscard]] bool empty() const { return kept_.empty(); }
  // It is not there yet.
  void keep(uint64_t block, Kept kept);
  // Out of what is kept; none: it is not there.
  std::optional<Kept> take(uint64_t block);
  // The one that is needed latest, if that is after `when`; none: there is no such block.
  std::optional<Kept> give_up(uint64_t when);
  // All of them, to be dropped by the caller.
  std::map<uint64_t, Kept> take_all();

 private:
  struct Use {
    uint64_t when = 0;
    LaneId lane;
  };
  struct Place {
    Kept kept;
    uint64_t rank = 0;  // next_use() when it was looked up last
  };

  [[nodiscard]] bool is_ahead(const Use& use) const;
  void rank(uint64_t block, Place& place);

  std::vector<std::vector<Use>> uses_;             // by block
  std::vector<uint64_t> passed_;                   // by lane
  std::map<uint64_t, Place> kept_;                 // by block
  std::set<std::pair<uint64_t, uint64_t>> ranks_;  // next use, block
};

}  // namespace ballast
