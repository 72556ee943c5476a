// RocksRecords: the newest image of each unit in a RocksDB folder, one record a unit. A write goes
// through the write-ahead log, so it survives kill -9 once write() returns, and a power cut if the
// store was opened with `sync`. Owner thread: the journal's writer; calls block on the disk.
//
// Memory: kRecordsMemoryBytes. On the disk large values lie in blob files, which compaction does
// not rewrite (WiscKey, Lu et al., FAST 2016).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/storage/unit_image.h"

namespace ballast {

// A memtable takes the whole batch that fills it, and is left then; while one is being brought to
// its file the other fills. A batch is a string that doubles as it grows.
inline constexpr uint64_t kMemtables = 2;
inline constexpr uint64_t kMemtableBytes = 32 << 20;
inline constexpr uint64_t kBatchBytes = 8 << 20;
inline constexpr uint64_t kRecordsMemoryBytes =
    kMemtables * (kMemtableBytes + kBatchBytes) + 2 * kBatchBytes;

class RocksRecords {
 public:
  // Makes the folder when it is missing. kConflict: another process has it open.
  [[nodiscard]] static Result<std::unique_ptr<RocksRecords>> open(const std::string& folder,
                                                                  bool sync);
  ~RocksRecords();

  // Each image is written whole or not at all; all of them are durable when it returns ok. After a
  // failure every later write fails too.
  [[nodiscard]] Status write(std::span<const UnitImage> images);
  // Those that exist, in the order asked. kDataLoss: a record is not what was written.
  [[nodiscard]] Result<std::vector<UnitImage>> read(std::span<const UnitId> units) const;

 private:
  struct Database;
  explicit RocksRecords(std::unique_ptr<Database> database);

  std::unique_ptr<Database> database_;
};

}  // namespace ballast
