// StateStore: the little that a coordinator must not forget (term, leader number, next ids), as
// named values. Owner thread: the coordinator's. A put is durable when it returns; callers write
// rarely (membership changes, checkpoint rounds), so one small file is rewritten whole each time.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/buffer.h"
#include "common/base/status.h"

namespace ballast {

class StateStore {
 public:
  virtual ~StateStore() = default;

  // On failure the old value stays, in memory and on the disk.
  [[nodiscard]] virtual Status put(std::string_view key, std::span<const std::byte> value) = 0;
  // kNotFound: never put.
  [[nodiscard]] virtual Result<Buffer> get(std::string_view key) const = 0;
};

// The values of a MemoryStateStore; outlives it, as a disk does.
using StateContents = std::map<std::string, Buffer, std::less<>>;

class MemoryStateStore final : public StateStore {
 public:
  explicit MemoryStateStore(StateContents& contents) : contents_(contents) {}
  [[nodiscard]] Status put(std::string_view key, std::span<const std::byte> value) override;
  [[nodiscard]] Result<Buffer> get(std::string_view key) const override;

 private:
  StateContents& contents_;
};

// One file: magic, u64 payload bytes, u64 XXH3-64, then u32 key bytes, key, u64 value bytes, value.
class FileStateStore final : public StateStore {
 public:
  // A missing file is an empty store. kDataLoss: not what was written, with offset and hashes.
  [[nodiscard]] static Result<std::unique_ptr<FileStateStore>> open(std::string path);

  [[nodiscard]] Status put(std::string_view key, std::span<const std::byte> value) override;
  [[nodiscard]] Result<Buffer> get(std::string_view key) const override;

 private:
  FileStateStore(std::string path, StateContents contents);

  std::string path_;
  StateContents contents_;
};

}  // namespace ballast
