#include "common/storage/record_writer.h"

#include <utility>

namespace ballast {

RecordWriter::RecordWriter(std::unique_ptr<RocksRecords> records, JournalEvents& events)
    : events_(events), records_(std::move(records)), thread_([this] { run(); }) {}

RecordWriter::~RecordWriter() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void RecordWriter::append(Lsn lsn, UnitImage image) {
  {
    std::lock_guard lock(mutex_);
    waiting_.images.insert_or_assign(image.unit, std::move(image));
    waiting_.last_lsn = lsn;
  }
  work_.notify_one();
}

void RecordWriter::fetch(Ticket ticket, std::vector<UnitId> units) {
  {
    std::lock_guard lock(mutex_);
    waiting_.fetches.push_back({ticket, std::move(units)});
  }
  work_.notify_one();
}

void RecordWriter::run() {
  for (;;) {
    Group group;
    {
      std::unique_lock lock(mutex_);
      // No deadline: idle is no fault, and the destructor wakes and joins.
      work_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
      if (closing_) return;
      group = std::exchange(waiting_, Group());
    }
    if (!group.images.empty()) write(group);
    for (const FetchOrder& order : group.fetches) fetch(order);
  }
}

void RecordWriter::write(Group& group) {
  if (failed_) return;  // said once, for all that follow
  std::vector<UnitImage> images;
  images.reserve(group.images.size());
  for (auto& [unit, image] : group.images) images.push_back(std::move(image));
  Status status = records_->write(images);
  if (status.ok()) {
    durable_lsn_ = group.last_lsn;
    events_.push(Durable{durable_lsn_});
    return;
  }
  failed_ = true;
  events_.push(StoreFailed{std::move(status), durable_lsn_ + 1, 0, 0});
}

void RecordWriter::fetch(const FetchOrder& order) {
  Result<std::vector<UnitImage>> images = records_->read(order.units);
  if (images.ok()) {
    events_.push(Fetched{order.ticket, std::move(images).value()});
  } else {
    events_.push(StoreFailed{images.status(), 0, order.ticket, 0});
  }
}

}  // namespace ballast
