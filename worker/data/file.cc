#include "worker/data/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>
#include <thread>
#include <utility>

namespace ballast {

namespace {

// errno as a Status: what the caller does next decides the code.
Status system_error(const std::string& attempted) {
  const int error = errno;
  const std::string message = attempted + ": " + std::strerror(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Status(Code::kNotFound, message);
    case EACCES:
    case EPERM:
    case EROFS:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return Status(Code::kInvalidInput, message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Status(Code::kExhausted, message);
    default:
      return Status(Code::kUnavailable, message);
  }
}

// What to do about a place that cannot be written to.
std::string_view advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free space there, or write to a folder of another disk";
    case EFBIG:
      return "; raise the limit of file sizes (ulimit -f), or write smaller files";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; allow writing there, or write to another folder";
    default:
      return "";
  }
}

Status write_error(const std::string& attempted) {
  const std::string_view what_to_do = advice(errno);
  const Status failed = system_error(attempted);
  return Status(failed.code(), failed.to_string() + std::string(what_to_do));
}

Status write_all(int descriptor, std::span<const std::byte> bytes, const std::string& attempted) {
  return write_fully(descriptor, bytes) ? Status() : write_error(attempted);
}

// The names in a folder are as durable as its last fsync.
Status sync_folder(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open folder " + folder);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  errno = error;
  if (result < 0 && errno != EINVAL) return system_error("fsync folder " + folder);
  return {};
}

}  // namespace

Result<File> File::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open " + path);
  struct stat about {};
  if (::fstat(descriptor, &about) < 0 || !S_ISREG(about.st_mode)) {
    ::close(descriptor);
    return Status(Code::kInvalidInput, "open " + path + ": not a regular file");
  }
  return File(path, descriptor, static_cast<uint64_t>(about.st_size));
}

File::File(std::string path, int descriptor, uint64_t size)
    : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

Status File::read_at(uint64_t offset, std::span<std::byte> bytes) const {
  const ssize_t got = read_fully(descriptor_, offset, bytes);
  if (got < 0) return system_error(fmt::format("read {} at byte {}", path_, offset));
  if (static_cast<size_t>(got) == bytes.size()) return {};
  return Status(Code::kDataLoss,
                fmt::format("{} is cut short: byte {} expected, it ends at {}", path_,
                            offset + bytes.size(), offset + static_cast<uint64_t>(got)));
}

Result<NewFile> NewFile::create(const std::string& folder) {
  int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (descriptor >= 0) return NewFile(folder, "", descriptor);
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return write_error("create a file in " + folder);
  }
  std::string temporary = folder + "/.new-XXXXXX";
  descriptor = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0) return write_error("create a file in " + folder);
  return NewFile(folder, temporary, descriptor);
}

NewFile::NewFile(std::string folder, std::string temporary, int descriptor)
    : folder_(std::move(folder)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

NewFile::NewFile(NewFile&& other) noexcept
    : folder_(std::move(other.folder_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

NewFile& NewFile::operator=(NewFile&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(temporary_, other.temporary_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

Status NewFile::append(std::span<const std::byte> bytes) {
  BALLAST_RETURN_IF_ERROR(
      write_all(descriptor_, bytes, fmt::format("write a file in {} at byte {}", folder_, size_)));
  size_ += bytes.size();
  return {};
}

Status NewFile::publish(const std::string& name) {
  const std::string path = folder_ + "/" + name;
  if (::fsync(descriptor_) < 0) return write_error("fsync " + path);
  const std::string source =
      temporary_.empty() ? fmt::format("/proc/self/fd/{}", descriptor_) : temporary_;
  const int follow = temporary_.empty() ? AT_SYMLINK_FOLLOW : 0;
  if (::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, path.c_str(), follow) < 0) {
    if (errno != EEXIST) return write_error("name " + path);
    BALLAST_ASSIGN(const File existing, File::open(path));
    if (existing.size() != size_) {
      return Status(Code::kDataLoss, fmt::format("{} exists with {} bytes, {} expected: remove it",
                                                 path, existing.size(), size_));
    }
  }
  return sync_folder(folder_);
}

Status replace_file(const std::string& folder, const std::string& name,
                    std::span<const std::byte> bytes) {
  const std::string path = folder + "/" + name;
  const std::string temporary = folder + "/." + name + ".new";
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return write_error("create " + temporary);
  Status written = write_all(descriptor, bytes, "write " + temporary);
  if (written.ok() && ::fsync(descriptor) < 0) written = write_error("fsync " + temporary);
  ::close(descriptor);
  if (written.ok() && ::rename(temporary.c_str(), path.c_str()) < 0) {
    written = write_error("rename " + temporary + " to " + path);
  }
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  return sync_folder(folder);
}

Result<FolderLock> FolderLock::take(const std::string& folder) {
  constexpr auto kWaitsMost = std::chrono::seconds(10);
  Result<FolderLock> at_once = try_take(folder);
  if (at_once.ok() || at_once.status().code() != Code::kConflict) return at_once;
  BALLAST_ASSIGN(FolderLock opened, open(folder));
  std::promise<Result<FolderLock>> promise;
  std::future<Result<FolderLock>> locked = promise.get_future();
  std::thread([lock = std::move(opened), promise = std::move(promise)]() mutable {
    Status status = lock.lock(true);
    promise.set_value(status.ok() ? Result<FolderLock>(std::move(lock)) : std::move(status));
  }).detach();  // the future's state, and with it the lock, goes with whoever of both ends last
  if (locked.wait_for(kWaitsMost) == std::future_status::ready) return locked.get();
  return at_once;
}

Result<FolderLock> FolderLock::try_take(const std::string& folder) {
  BALLAST_ASSIGN(FolderLock lock, open(folder));
  BALLAST_RETURN_IF_ERROR(lock.lock(false));
  return lock;
}

Result<FolderLock> FolderLock::open(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open folder " + folder);
  return FolderLock(folder, descriptor);
}

Status FolderLock::lock(bool waits) {
  int result = 0;
  do {
    result = ::flock(descriptor_, LOCK_EX | (waits ? 0 : LOCK_NB));
  } while (result < 0 && errno == EINTR);
  if (result == 0) return {};
  if (errno == EWOULDBLOCK) {
    return Status(Code::kConflict, folder_ + ": another conversion into it runs; wait for its end");
  }
  const Status failed = system_error("lock folder " + folder_);
  return Status(Code::kUnavailable,
                failed.to_string() + ": write on a file system with locks, then copy");
}

FolderLock::FolderLock(std::string folder, int descriptor)
    : folder_(std::move(folder)), descriptor_(descriptor) {}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : folder_(std::move(other.folder_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

ssize_t read_fully(int descriptor, uint64_t offset, std::span<std::byte> into) {
  size_t filled = 0;
  while (filled < into.size()) {
    const ssize_t got = ::pread(descriptor, into.data() + filled, into.size() - filled,
                                static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(filled);
}

bool write_fully(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return true;
}

Status make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    const bool full = error.value() == ENOSPC || error.value() == EDQUOT;
    const std::string_view known = advice(error.value());
    return Status(full ? Code::kExhausted : Code::kInvalidInput,
                  fmt::format("make folder {}: {}{}", folder, error.message(),
                              known.empty() ? "; choose one that is new or a folder" : known));
  }
  if (std::filesystem::is_directory(folder, error)) return {};
  return Status(Code::kInvalidInput, "make folder " + folder + ": a file of that name is there");
}

bool is_same_folder(const std::string& one, const std::string& other) {
  std::error_code error;
  return std::filesystem::equivalent(one, other, error) && !error;
}

}  // namespace ballast
