#include "common/storage/rocks_records.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>

#include "common/base/log.h"
#include "common/storage/durable_file.h"

namespace ballast {
namespace {

using Key = std::array<char, 5>;

// 'u' and the unit, big-endian, so that records lie in unit order.
Key key_of(UnitId unit) {
  const uint32_t value = unit.value();
  return {'u', static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

rocksdb::Slice slice_of(const Key& key) {
  return {key.data(), key.size()};
}

Status from_rocks(std::string_view doing, const std::string& folder,
                  const rocksdb::Status& status) {
  const std::string what =
      fmt::format("while {} the journal in {}: {}", doing, folder, status.ToString());
  if (status.IsNoSpace() || what.find("No space left") != std::string::npos ||
      what.find("File too large") != std::string::npos) {
    return Status(Code::kExhausted, what +
                                        "; free space there, or put the run directory on a "
                                        "larger disk, and resume");
  }
  if (status.IsCorruption()) {
    return Status(Code::kDataLoss, what + "; resume from the last checkpoint");
  }
  if (status.IsIOError() && what.find("lock") != std::string::npos) {
    return Status(Code::kConflict, what + "; another process has it open, stop that one first");
  }
  if (what.find("Permission denied") != std::string::npos) {
    return Status(Code::kInvalidInput, what + "; make it writable for this user");
  }
  return Status(Code::kUnavailable, what + "; check the disk and the system log, then resume");
}

// RocksDB's messages go to the process's log. Its own log file is not used, because writing one on
// a full disk ends the process with a failed assertion (EnvLogger::Logv, 7.8.3).
class ForwardingLogger final : public rocksdb::Logger {
 public:
  // Reads no memory: it is called on RocksDB's threads up to the end of the database.
  [[nodiscard]] rocksdb::InfoLogLevel GetInfoLogLevel() const override {
    return rocksdb::WARN_LEVEL;
  }
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    std::array<char, 512> text{};
    (void)std::vsnprintf(text.data(), text.size(), format, arguments);
    log::warn("rocksdb: {}", text.data());
  }
};

rocksdb::Options options_of() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = kMemtableBytes;
  options.max_write_buffer_number = kMemtables;
  options.compression = rocksdb::kNoCompression;  // floats do not shrink
  options.enable_blob_files = true;
  options.min_blob_size = 4096;
  options.enable_blob_garbage_collection = true;
  options.info_log = std::make_shared<ForwardingLogger>();  // shared: RocksDB's interface
  options.stats_dump_period_sec = 0;
  return options;
}

void add_to(rocksdb::WriteBatch& batch, UnitId unit, const ImagePieces& pieces) {
  std::vector<rocksdb::Slice> slices;
  slices.reserve(pieces.spans.size());
  for (std::span<const std::byte> piece : pieces.spans) {
    slices.emplace_back(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  const Key key = key_of(unit);
  const rocksdb::Slice key_slice = slice_of(key);
  // Only a batch limit or a value above 4 GiB can refuse this; there is neither.
  const rocksdb::Status status =
      batch.Put(rocksdb::SliceParts(&key_slice, 1),
                rocksdb::SliceParts(slices.data(), static_cast<int>(slices.size())));
  BALLAST_CHECK_MSG(status.ok(), status.ToString());
}

}  // namespace

struct RocksRecords::Database {
  std::string folder;
  bool sync = false;
  std::unique_ptr<rocksdb::DB> db;
  bool failed = false;  // a write was lost, so none may follow it
};

RocksRecords::RocksRecords(std::unique_ptr<Database> database) : database_(std::move(database)) {}

RocksRecords::~RocksRecords() = default;

Result<std::unique_ptr<RocksRecords>> RocksRecords::open(const std::string& folder, bool sync) {
  BALLAST_RETURN_IF_ERROR(make_folders(folder));
  auto database = std::make_unique<Database>();
  database->folder = folder;
  database->sync = sync;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options_of(), folder, &opened);
  if (!status.ok()) return from_rocks("opening", folder, status);
  database->db.reset(opened);
  return std::unique_ptr<RocksRecords>(new RocksRecords(std::move(database)));
}

Status RocksRecords::write(std::span<const UnitImage> images) {
  if (database_->failed) {
    return Status(Code::kConflict,
                  fmt::format("the journal in {} lost an earlier write and takes no more",
                              database_->folder));
  }
  rocksdb::WriteBatch batch;
  for (size_t index = 0; index < images.size(); ++index) {
    add_to(batch, images[index].unit, pieces_of(images[index]));
    const bool last = index + 1 == images.size();
    if (batch.GetDataSize() < kBatchBytes && !last) continue;
    rocksdb::WriteOptions options;
    options.sync = database_->sync && last;  // brings what was written before it to the disk, too
    const rocksdb::Status status = database_->db->Write(options, &batch);
    if (!status.ok()) {
      database_->failed = true;
      return from_rocks("writing", database_->folder, status);
    }
    batch.Clear();
  }
  return Status();
}

Result<std::vector<UnitImage>> RocksRecords::read(std::span<const UnitId> units) const {
  std::vector<UnitImage> images;
  for (UnitId unit : units) {
    rocksdb::PinnableSlice value;
    const rocksdb::Status status =
        database_->db->Get(rocksdb::ReadOptions(), database_->db->DefaultColumnFamily(),
                           slice_of(key_of(unit)), &value);
    if (status.IsNotFound()) continue;
    if (!status.ok()) return from_rocks("reading", database_->folder, status);
    const Buffer bytes = Buffer::copy_of(std::as_bytes(std::span(value.data(), value.size())));
    Result<UnitImage> image = decode(bytes);
    if (!image.ok()) {
      return image.status().because(fmt::format("while reading unit {} from the journal in {}",
                                                unit.value(), database_->folder));
    }
    images.push_back(std::move(image).value());
  }
  return images;
}

}  // namespace ballast
