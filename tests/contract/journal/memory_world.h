#pragma once

#include <memory>
#include <utility>

#include "common/storage/memory_journal.h"
#include "tests/contract/journal/journal_world.h"

namespace ballast {

class MemoryWorld final : public JournalWorld {
 public:
  explicit MemoryWorld(Durability durability) : durability_(durability) {}

  std::unique_ptr<Journal> open(ShardId shard) override {
    return std::make_unique<MemoryJournal>(store_, shard, durability_);
  }
  std::optional<JournalEvent> next(ShardId shard, Journal& journal) override {
    std::optional<JournalEvent> event = journal.poll();
    while (!event && store_.flush(shard, 1) > 0) event = journal.poll();
    return event;
  }
  Status commit(const CheckpointManifest& manifest) override {
    return store_.commit_manifest(manifest);
  }
  std::string part_name(CutId id, ShardId shard) override {
    return "memory part " + std::to_string(shard.value()) + " of checkpoint " + std::to_string(id);
  }
  void flip_bit(CutId id, ShardId shard, uint64_t byte) override {
    store_.part_bytes(id, shard)->data()[byte] ^= std::byte(1);
  }
  void truncate(CutId id, ShardId shard, uint64_t bytes) override {
    Buffer* part = store_.part_bytes(id, shard);
    *part = part->slice(0, bytes);
  }

 private:
  MemoryStore store_;
  Durability durability_;
};

}  // namespace ballast
