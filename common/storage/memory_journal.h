// MemoryJournal: the journal of simulations and of tests. Single-threaded and deterministic: a call
// only queues an order in the MemoryStore; orders happen when the owner of the store says so, each
// append for itself, so that a crash may fall between any two.
//
// The store stands for the disks: it survives the journals (a shard's crash) and is shared by the
// shards of a cluster, as a checkpoint folder is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "common/storage/journal.h"

namespace ballast {

class MemoryStore {
 public:
  // Carries out up to `count` of the oldest waiting orders of the shard, each with its event.
  // Returns how many it did.
  size_t flush(ShardId shard, size_t count);
  // The same for all of them.
  size_t make_durable(ShardId shard);
  [[nodiscard]] size_t waiting(ShardId shard) const;

  // The shard dies: of its waiting orders the oldest `kept` still reach the disk, without anybody
  // hearing of it; the rest, and all events not yet polled, are lost. Without this call a new
  // journal of the shard finds what had been flushed.
  void crash(ShardId shard, size_t kept);

  // The shard's next order fails with this status once it is carried out.
  void fail_next(ShardId shard, Status status);

  // Checkpoints, as the coordinator sees them (checkpoint.h). newest_checkpoint passes over damaged
  // ones; kNotFound: there is no whole one.
  Status commit_manifest(const CheckpointManifest& manifest);
  [[nodiscard]] Result<CheckpointManifest> read_manifest(CutId id) const;
  [[nodiscard]] Result<CheckpointManifest> newest_checkpoint() const;
  void remove_old(uint32_t keep);
  // Out of the way of the checkpoints that a run which resumed from `id` writes.
  void set_aside_newer_than(CutId id);

  // The bytes of a part, for tests that damage them; null when there is none.
  [[nodiscard]] Buffer* part_bytes(CutId id, ShardId shard);

 private:
  friend class MemoryJournal;
  struct AppendOrder {
    Lsn lsn;
    UnitId unit;
    Buffer image;  // encoded
    bool kept;     // false: durability "checkpoint"
  };
  struct FetchOrder {
    Ticket ticket;
    std::vector<UnitId> units;
  };
  struct CutOrder {
    CutId id;
    std::vector<UnitImage> images;
  };
  struct OpenOrder {
    Ticket ticket;
    CheckpointManifest manifest;
    std::vector<UnitId> units;
  };
  using Order = std::variant<AppendOrder, FetchOrder, CutOrder, OpenOrder>;
  struct Disk {  // of one shard; std::map keeps its address
    std::map<UnitId, Buffer> units;
    std::deque<Order> orders;
    std::deque<JournalEvent> events;
    Status failure;  // of the next order
    bool appends_failed = false;
    std::function<void()> notify;  // empty: no journal lives
  };

  std::optional<JournalEvent> perform_next(ShardId shard, Disk& disk);
  static std::optional<JournalEvent> perform(Disk& disk, AppendOrder& order, const Status& failure);
  JournalEvent perform(const Disk& disk, const FetchOrder& order, const Status& failure) const;
  JournalEvent perform(ShardId shard, const CutOrder& order, const Status& failure);
  JournalEvent perform(const OpenOrder& order, const Status& failure) const;
  [[nodiscard]] Result<UnitImage> load(const CheckpointManifest& manifest, UnitId unit) const;

  std::map<ShardId, Disk> disks_;
  std::map<std::pair<CutId, uint32_t>, Buffer> parts_;
  std::map<CutId, Buffer> manifests_;
};

class MemoryJournal final : public Journal {
 public:
  // `store` outlives the journal; at most one journal of a shard lives at a time.
  MemoryJournal(
      MemoryStore& store, ShardId shard, Durability durability,
      std::function<void()> notify = [] {});
  ~MemoryJournal() override;

  [[nodiscard]] Durability durability() const override { return durability_; }
  Lsn append(UnitImage image) override;
  Ticket fetch(std::vector<UnitId> units) override;
  void write_back(UnitImage image) override;
  void cut(CutId id, std::vector<UnitImage> images) override;
  Ticket open(const CheckpointManifest& manifest, std::vector<UnitId> units) override;
  [[nodiscard]] std::optional<JournalEvent> poll() override;

 private:
  MemoryStore::Disk& disk_;
  const Durability durability_;
  Lsn last_lsn_ = 0;
  Ticket last_ticket_ = 0;
};

}  // namespace ballast
