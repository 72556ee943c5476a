// Files that are whole or absent. A DurableFile grows under a temporary name and takes its real one
// only once its bytes are on the disk; a kill or a power cut at any instant leaves the old file or
// the new one. Errors name path, offset, the system's reason and what to do. Any thread, one at a
// time per file; calls block on the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/buffer.h"
#include "common/base/status.h"

namespace ballast {

// "while <doing> PATH at byte N: No space left on device; free space there ...". kExhausted: disk
// or quota full; kNotFound: no such file; kInvalidInput: no permission; kUnavailable: anything
// else.
[[nodiscard]] Status file_error(std::string_view doing, const std::string& path, uint64_t offset,
                                int error_number);

// A file descriptor that closes itself; -1: none.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  ~FileHandle();
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;

  [[nodiscard]] int get() const { return descriptor_; }
  void close();

 private:
  int descriptor_ = -1;
};

class DurableFile {
 public:
  // Creates PATH.tmp, replacing one that a kill left behind.
  [[nodiscard]] static Result<DurableFile> create(std::string path);
  // Removes the temporary file unless commit() was called and went well.
  ~DurableFile();
  DurableFile(DurableFile&&) noexcept = default;
  DurableFile& operator=(DurableFile&&) = delete;

  [[nodiscard]] Status append(std::span<const std::byte> bytes);
  [[nodiscard]] uint64_t bytes() const { return written_ + staged_; }
  // Syncs, renames, syncs the folder.
  [[nodiscard]] Status commit();

 private:
  DurableFile(std::string path, FileHandle file);
  [[nodiscard]] std::string temporary() const;
  [[nodiscard]] Status write_out(std::span<const std::byte> bytes);
  [[nodiscard]] Status write_staged();

  std::string path_;
  FileHandle file_;
  Buffer stage_;          // gathers small pieces
  uint64_t staged_ = 0;   // bytes in stage_
  uint64_t written_ = 0;  // bytes given to the system
  uint64_t pushed_ = 0;   // bytes whose way to the disk was begun
};

// One that is opened for reading, with its size.
class ReadableFile {
 public:
  [[nodiscard]] static Result<ReadableFile> open(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // Fills `out` from `offset`. kDataLoss: the file ends before that.
  [[nodiscard]] Status read(uint64_t offset, std::span<std::byte> out) const;

 private:
  ReadableFile(std::string path, FileHandle file, uint64_t bytes);

  std::string path_;
  FileHandle file_;
  uint64_t bytes_;
};

[[nodiscard]] Result<Buffer> read_file(const std::string& path);
// DurableFile over the pieces, start to end.
[[nodiscard]] Status write_file(const std::string& path,
                                std::span<const std::span<const std::byte>> pieces);
// Makes the folder and those above it, each synced into its parent.
[[nodiscard]] Status make_folders(const std::string& path);
// Makes names made or removed in the folder durable.
[[nodiscard]] Status sync_folder(const std::string& path);

}  // namespace ballast
