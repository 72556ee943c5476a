#include "common/storage/disk_journal.h"

#include <fmt/format.h>

#include <utility>

#include "common/storage/checkpoint.h"
#include "common/storage/journal_factory.h"

namespace ballast {

DiskJournal::DiskJournal(std::string run_dir, ShardId shard, Durability durability,
                         std::unique_ptr<RocksRecords> records, std::function<void()> notify)
    : run_dir_(std::move(run_dir)),
      shard_(shard),
      durability_(durability),
      events_(std::move(notify)) {
  BALLAST_CHECK((records == nullptr) == (durability == Durability::kCheckpoint));
  if (records != nullptr) records_ = std::make_unique<RecordWriter>(std::move(records), events_);
  files_ = std::thread([this] { run_files(); });
}

DiskJournal::~DiskJournal() {
  closing_ = true;
  file_orders_.close();
  files_.join();
}

Lsn DiskJournal::append(UnitImage image) {
  const Lsn lsn = ++last_lsn_;
  if (records_ != nullptr) {
    records_->append(lsn, std::move(image));
  } else {
    events_.push(Durable{lsn});
  }
  return lsn;
}

Ticket DiskJournal::fetch(std::vector<UnitId> units) {
  const Ticket ticket = ++last_ticket_;
  if (records_ != nullptr) {
    records_->fetch(ticket, std::move(units));
  } else {
    events_.push(Fetched{ticket, {}});
  }
  return ticket;
}

void DiskJournal::write_back(UnitImage image) {
  if (records_ != nullptr) records_->append(++last_lsn_, std::move(image));
}

void DiskJournal::cut(CutId id, std::vector<UnitImage> images) {
  order_file(CutOrder{id, std::move(images)});
}

Ticket DiskJournal::open(const CheckpointManifest& manifest, std::vector<UnitId> units) {
  const Ticket ticket = ++last_ticket_;
  order_file(OpenOrder{ticket, manifest, std::move(units)});
  return ticket;
}

void DiskJournal::order_file(FileOrder order) {
  BALLAST_CHECK_MSG(file_orders_.try_push(order), "more cuts and opens wait than a shard can ask");
}

void DiskJournal::run_files() {
  while (std::optional<FileOrder> order = file_orders_.pop()) {
    if (closing_) return;
    events_.push(std::visit([this](const auto& known) { return perform(known); }, *order));
  }
}

JournalEvent DiskJournal::perform(const CutOrder& order) const {
  Result<CheckpointPart> part = write_part(run_dir_, order.id, shard_.value(), order.images);
  if (part.ok()) return CutDone{order.id, std::move(part).value()};
  return StoreFailed{part.status().because(fmt::format("while shard {} wrote its part of "
                                                       "checkpoint {}",
                                                       shard_.value(), order.id)),
                     0, 0, order.id};
}

JournalEvent DiskJournal::perform(const OpenOrder& order) const {
  Result<std::vector<UnitImage>> images = load_units(run_dir_, order.manifest, order.units);
  if (images.ok()) return Fetched{order.ticket, std::move(images).value()};
  return StoreFailed{
      images.status().because(fmt::format("while shard {} loaded {} units of "
                                          "checkpoint {}",
                                          shard_.value(), order.units.size(), order.manifest.id)),
      0, order.ticket, 0};
}

Result<std::unique_ptr<Journal>> open_journal(const JournalOptions& options,
                                              std::function<void()> notify) {
  std::unique_ptr<RocksRecords> records;
  if (options.durability != Durability::kCheckpoint) {
    BALLAST_ASSIGN(records,
                   RocksRecords::open(options.folder, options.durability == Durability::kMachine));
  }
  return std::unique_ptr<Journal>(std::make_unique<DiskJournal>(
      options.run_dir, options.shard, options.durability, std::move(records), std::move(notify)));
}

}  // namespace ballast
