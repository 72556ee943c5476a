// RecordWriter: group commit. The owner leaves images and goes on; one thread writes whatever waits
// in one go and says up to which lsn all is durable. While it writes, the next group gathers, so
// the busier the shard the larger the groups. Of each unit only the newest waiting image is kept:
// memory is at most twice the units, and nobody ever waits for room. Owner thread: the shard's. The
// destructor drops what waits and joins.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/storage/journal_events.h"
#include "common/storage/rocks_records.h"

namespace ballast {

class RecordWriter {
 public:
  // `events` outlives the writer.
  RecordWriter(std::unique_ptr<RocksRecords> records, JournalEvents& events);
  ~RecordWriter();

  // Durable{lsn} or later follows, or StoreFailed once for all lsns from the first lost one on.
  void append(Lsn lsn, UnitImage image);
  // Fetched follows, with all appends before it.
  void fetch(Ticket ticket, std::vector<UnitId> units);

 private:
  struct FetchOrder {
    Ticket ticket;
    std::vector<UnitId> units;
  };
  struct Group {  // what the thread takes at once
    std::map<UnitId, UnitImage> images;
    Lsn last_lsn = 0;
    std::deque<FetchOrder> fetches;
    [[nodiscard]] bool empty() const { return images.empty() && fetches.empty(); }
  };

  void run();
  void write(Group& group);
  void fetch(const FetchOrder& order);

  JournalEvents& events_;
  const std::unique_ptr<RocksRecords> records_;  // used by the thread only
  Lsn durable_lsn_ = 0;                          // used by the thread only
  bool failed_ = false;                          // used by the thread only

  std::mutex mutex_;  // guards waiting_ and closing_; held across no disk and no call-out
  std::condition_variable work_;
  Group waiting_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace ballast
