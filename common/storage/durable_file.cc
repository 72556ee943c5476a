#include "common/storage/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace ballast {
namespace {

constexpr uint64_t kStageBytes = 1 << 20;
// Pieces from this size on skip the stage: one more copy costs more than one more call.
constexpr uint64_t kDirectBytes = 128 << 10;
// The disk is set to work each time so much has gathered, instead of all at once in fsync.
constexpr uint64_t kPushBytes = 8 << 20;

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string_view advice(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "free space there, or put the run directory on a larger disk, and resume";
    case EFBIG:
      return "raise the file size limit (ulimit -f) and resume";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n) and resume";
    case EACCES:
    case EPERM:
    case EROFS:
      return "make it writable for this user, or choose another run directory";
    case ENOENT:
      return "check the path";
    default:
      return "check the disk and the system log, then resume";
  }
}

Code code_of(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
      return Code::kExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kInvalidInput;
    case ENOENT:
      return Code::kNotFound;
    default:
      return Code::kUnavailable;
  }
}

}  // namespace

Status file_error(std::string_view doing, const std::string& path, uint64_t offset,
                  int error_number) {
  return Status(code_of(error_number),
                fmt::format("while {} {} at byte {}: {}; {}", doing, path, offset,
                            std::generic_category().message(error_number), advice(error_number)));
}

FileHandle::~FileHandle() {
  close();
}

FileHandle::FileHandle(FileHandle&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void FileHandle::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

Result<DurableFile> DurableFile::create(std::string path) {
  const std::string temporary = path + ".tmp";
  FileHandle file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) return file_error("creating", temporary, 0, errno);
  return DurableFile(std::move(path), std::move(file));
}

DurableFile::DurableFile(std::string path, FileHandle file)
    : path_(std::move(path)), file_(std::move(file)) {}

DurableFile::~DurableFile() {
  if (file_.get() >= 0) ::unlink(temporary().c_str());
}

std::string DurableFile::temporary() const {
  return path_ + ".tmp";
}

Status DurableFile::append(std::span<const std::byte> bytes) {
  if (bytes.size() >= kDirectBytes) {
    BALLAST_RETURN_IF_ERROR(write_staged());
    return write_out(bytes);
  }
  if (stage_.empty()) stage_ = Buffer::allocate(kStageBytes);
  if (staged_ + bytes.size() > stage_.size()) BALLAST_RETURN_IF_ERROR(write_staged());
  std::copy(bytes.begin(), bytes.end(), stage_.data() + staged_);
  staged_ += bytes.size();
  return Status();
}

Status DurableFile::write_staged() {
  const uint64_t staged = std::exchange(staged_, 0);
  return write_out(std::as_const(stage_).bytes().first(staged));
}

Status DurableFile::write_out(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file_.get(), bytes.data(), std::min(bytes.size(), kPushBytes),
                                  static_cast<off_t>(written_));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return file_error("writing", temporary(), written_, errno);
    written_ += static_cast<uint64_t>(done);
    bytes = bytes.subspan(static_cast<size_t>(done));
    if (written_ - pushed_ >= kPushBytes) {
      // Only a hint: what it cannot begin, fsync does.
      (void)::sync_file_range(file_.get(), static_cast<off_t>(pushed_),
                              static_cast<off_t>(written_ - pushed_), SYNC_FILE_RANGE_WRITE);
      pushed_ = written_;
    }
  }
  return Status();
}

Status DurableFile::commit() {
  BALLAST_RETURN_IF_ERROR(write_staged());
  if (::fsync(file_.get()) != 0) return file_error("syncing", temporary(), written_, errno);
  if (::rename(temporary().c_str(), path_.c_str()) != 0) {
    return file_error("renaming into", path_, written_, errno);
  }
  file_.close();
  return sync_folder(parent_of(path_));
}

Result<ReadableFile> ReadableFile::open(std::string path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return file_error("opening", path, 0, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return file_error("reading", path, 0, errno);
  if (!S_ISREG(status.st_mode)) {
    return Status(Code::kInvalidInput, fmt::format("{} is not a regular file", path));
  }
  return ReadableFile(std::move(path), std::move(file), static_cast<uint64_t>(status.st_size));
}

ReadableFile::ReadableFile(std::string path, FileHandle file, uint64_t bytes)
    : path_(std::move(path)), file_(std::move(file)), bytes_(bytes) {}

Status ReadableFile::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t done = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return file_error("reading", path_, offset, errno);
    if (done == 0) {
      return Status(Code::kDataLoss, fmt::format("{} at byte {}: expected {} more bytes, found the "
                                                 "end of the file",
                                                 path_, offset, out.size()));
    }
    offset += static_cast<uint64_t>(done);
    out = out.subspan(static_cast<size_t>(done));
  }
  return Status();
}

Result<Buffer> read_file(const std::string& path) {
  BALLAST_ASSIGN(const ReadableFile file, ReadableFile::open(path));
  Buffer bytes = Buffer::allocate(file.bytes());
  BALLAST_RETURN_IF_ERROR(file.read(0, bytes.bytes()));
  return bytes;
}

Status write_file(const std::string& path, std::span<const std::span<const std::byte>> pieces) {
  BALLAST_ASSIGN(DurableFile file, DurableFile::create(path));
  for (std::span<const std::byte> piece : pieces) BALLAST_RETURN_IF_ERROR(file.append(piece));
  return file.commit();
}

Status make_folders(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return sync_folder(parent_of(path));
  if (errno == ENOENT && parent_of(path) != path) {
    BALLAST_RETURN_IF_ERROR(make_folders(parent_of(path)));
    if (::mkdir(path.c_str(), 0755) == 0) return sync_folder(parent_of(path));
  }
  std::error_code ignored;
  if (errno == EEXIST && std::filesystem::is_directory(path, ignored)) return Status();
  return file_error("making the folder", path, 0, errno);
}

Status sync_folder(const std::string& path) {
  FileHandle folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return file_error("opening the folder", path, 0, errno);
  if (::fsync(folder.get()) != 0) return file_error("syncing the folder", path, 0, errno);
  return Status();
}

}  // namespace ballast
