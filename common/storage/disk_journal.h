// DiskJournal: the journal of a real shard. Unit records are a RecordWriter's (absent for
// durability "checkpoint": appends count as applied at once and are kept nowhere); checkpoint parts
// are plain files, written and read by a thread of their own, so that a long cut does not hold up
// the group commit of replies.
//
// thread   owns                takes from               gives to
// shard    DiskJournal         JournalEvents            RecordWriter, file_orders_(16)
// records  RocksRecords        waiting images, fetches  JournalEvents
// files    part files          file_orders_             JournalEvents
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "common/base/bounded_queue.h"
#include "common/storage/journal.h"
#include "common/storage/journal_events.h"
#include "common/storage/record_writer.h"

namespace ballast {

class DiskJournal final : public Journal {
 public:
  // `records`: null exactly when durability is kCheckpoint.
  DiskJournal(std::string run_dir, ShardId shard, Durability durability,
              std::unique_ptr<RocksRecords> records, std::function<void()> notify);
  ~DiskJournal() override;

  [[nodiscard]] Durability durability() const override { return durability_; }
  Lsn append(UnitImage image) override;
  Ticket fetch(std::vector<UnitId> units) override;
  void write_back(UnitImage image) override;
  void cut(CutId id, std::vector<UnitImage> images) override;
  Ticket open(const CheckpointManifest& manifest, std::vector<UnitId> units) override;
  [[nodiscard]] std::optional<JournalEvent> poll() override { return events_.poll(); }

 private:
  struct CutOrder {
    CutId id;
    std::vector<UnitImage> images;
  };
  struct OpenOrder {
    Ticket ticket;
    CheckpointManifest manifest;
    std::vector<UnitId> units;
  };
  using FileOrder = std::variant<CutOrder, OpenOrder>;
  // One cut a round and one open a life; more waiting than this is our bug.
  static constexpr size_t kFileOrdersMax = 16;

  void order_file(FileOrder order);
  void run_files();
  [[nodiscard]] JournalEvent perform(const CutOrder& order) const;
  [[nodiscard]] JournalEvent perform(const OpenOrder& order) const;

  const std::string run_dir_;
  const ShardId shard_;
  const Durability durability_;
  JournalEvents events_;
  Lsn last_lsn_ = 0;
  Ticket last_ticket_ = 0;
  BoundedQueue<FileOrder> file_orders_{kFileOrdersMax};
  std::atomic<bool> closing_ = false;
  std::unique_ptr<RecordWriter> records_;
  std::thread files_;
};

}  // namespace ballast
