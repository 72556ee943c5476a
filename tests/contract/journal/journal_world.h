// A JournalWorld is what one implementation of Journal lives in: its disk, its restarts, and how
// orders get carried out. The contract suite runs the same claims in every world.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/storage/journal.h"

namespace ballast {

class JournalWorld {
 public:
  virtual ~JournalWorld() = default;

  // A journal of the shard, opened or opened again over what the last one left.
  virtual std::unique_ptr<Journal> open(ShardId shard) = 0;
  // The next event of a journal this world opened, waited for at most 10 s.
  virtual std::optional<JournalEvent> next(ShardId shard, Journal& journal) = 0;

  virtual Status commit(const CheckpointManifest& manifest) = 0;
  // Where messages say a part is, and two ways to damage it.
  virtual std::string part_name(CutId id, ShardId shard) = 0;
  virtual void flip_bit(CutId id, ShardId shard, uint64_t byte) = 0;
  virtual void truncate(CutId id, ShardId shard, uint64_t bytes) = 0;
};

struct NamedWorld {
  std::string name;
  Durability durability;
  std::function<std::unique_ptr<JournalWorld>()> make;
};

}  // namespace ballast
