// Files as the container needs them: whole reads and writes at an offset, new files that appear all
// at once or not at all, and errors that name file, byte, expected and found. Owner thread, except
// what reads, which any thread may call.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace ballast {

class File {
 public:
  // kNotFound: no such file.
  static Result<File> open(const std::string& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  // Fills `bytes` from `offset`. kDataLoss: the file ends before.
  [[nodiscard]] Status read_at(uint64_t offset, std::span<std::byte> bytes) const;

 private:
  File(std::string path, int descriptor, uint64_t size);

  std::string path_;
  int descriptor_;
  uint64_t size_;
};

// A file without a name (O_TMPFILE) that gets one when it is complete: kill -9 leaves nothing.
class NewFile {
 public:
  // `folder` must exist. kInvalidInput: no permission. File systems without O_TMPFILE get a hidden
  // named file, removed with this object.
  static Result<NewFile> create(const std::string& folder);
  ~NewFile();
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&& other) noexcept;

  [[nodiscard]] uint64_t size() const { return size_; }
  // kExhausted: the disk is full.
  [[nodiscard]] Status append(std::span<const std::byte> bytes);
  // fsync, then the name. A file of that name must have the same content and is kept.
  [[nodiscard]] Status publish(const std::string& name);

 private:
  NewFile(std::string folder, std::string temporary, int descriptor);

  std::string folder_;
  std::string temporary_;  // empty: O_TMPFILE
  int descriptor_;
  uint64_t size_ = 0;
};

// Writes folder/name through folder/.name.new, fsync and rename: readers see the old content or the
// new one, never a part.
[[nodiscard]] Status replace_file(const std::string& folder, const std::string& name,
                                  std::span<const std::byte> bytes);

// The right to change what a folder holds, one holder at a time (flock on the folder itself). It
// ends with the object or with its process, whichever is first: there is no file to clean up.
class FolderLock {
 public:
  // Waits for a holder who is about to rename one file; kConflict: it holds on for longer, as a
  // conversion does. kNotFound: no such folder. kUnavailable: the file system has no locks.
  // flock() knows no deadline, so a thread of its own blocks in it. Past the deadline that thread
  // is left behind with its descriptor, which it closes when its turn comes. Rejected: to ask again
  // and again; a signal that ends flock(), since signals are the program's and not a library's.
  static Result<FolderLock> take(const std::string& folder);
  // The same without waiting.
  static Result<FolderLock> try_take(const std::string& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;

  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  FolderLock(std::string folder, int descriptor);
  static Result<FolderLock> open(const std::string& folder);  // and not locked
  [[nodiscard]] Status lock(bool waits);

  std::string folder_;
  int descriptor_;
};

// What one call of the kernel may do in parts, or not at all for a signal: all of it. How many
// bytes were read before the end of the file, or -1 with errno; whether all were written, or errno.
[[nodiscard]] ssize_t read_fully(int descriptor, uint64_t offset, std::span<std::byte> into);
[[nodiscard]] bool write_fully(int descriptor, std::span<const std::byte> bytes);

// mkdir -p. kInvalidInput: no permission, or a file stands in the way. kExhausted: the disk is
// full.
[[nodiscard]] Status make_folder(const std::string& folder);
// Both are there, and are one.
[[nodiscard]] bool is_same_folder(const std::string& one, const std::string& other);

}  // namespace ballast
