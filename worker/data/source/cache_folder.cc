#include "worker/data/source/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "common/base/log.h"
#include "worker/data/file.h"

namespace ballast {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kReserveBytes = uint64_t{1} << 30;  // left free on the disk, or
constexpr uint64_t kReserveShare = 20;                 // a twentieth of it, if that is less
constexpr size_t kNamelessMost = 16;                   // 64 MiB of the largest blocks

Status refused(const std::string& folder, const std::string& why) {
  return Status(Code::kInvalidInput, fmt::format("data.cache = \"{}\": {}", folder, why));
}

bool is_whole(int descriptor, uint64_t bytes) {
  struct stat about {};
  return ::fstat(descriptor, &about) == 0 && static_cast<uint64_t>(about.st_size) == bytes;
}

bool read_all(int descriptor, std::span<std::byte> into) {
  return read_fully(descriptor, 0, into) == static_cast<ssize_t>(into.size());
}

}  // namespace

// ---------------------------------------------------------------- life

Result<std::unique_ptr<CacheFolder>> CacheFolder::open(const std::string& folder,
                                                       uint64_t bytes_max, bool direct) {
  Status made = make_folder(folder);
  if (!made.ok()) return refused(folder, made.to_string());
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return refused(folder, std::strerror(errno));
  Result<CacheMarker> marker = CacheMarker::open(folder_fd);
  if (!marker.ok()) {
    ::close(folder_fd);
    return refused(folder, marker.status().chain().front());
  }
  std::unique_ptr<CacheFolder> cache(
      new CacheFolder(folder, bytes_max, direct, folder_fd, std::move(*marker)));
  BALLAST_RETURN_IF_ERROR(cache->begin());
  return cache;
}

CacheFolder::CacheFolder(std::string folder, uint64_t bytes_max, bool direct, int folder_fd,
                         CacheMarker marker)
    : folder_(std::move(folder)),
      bytes_max_(bytes_max),
      direct_(direct),
      folder_fd_(folder_fd),
      marker_(std::move(marker)) {}

CacheFolder::~CacheFolder() {
  {
    std::lock_guard guard(mutex_);
    settle();
  }
  for (const Nameless& file : nameless_) ::close(file.descriptor);
  ::close(folder_fd_);
}

Status CacheFolder::begin() {
  std::lock_guard guard(mutex_);
  const int nameless = ::openat(folder_fd_, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (nameless < 0) {
    return refused(folder_, fmt::format("no files without a name (O_TMPFILE) can be made there: "
                                        "{}; choose one on ext4, xfs, btrfs or tmpfs",
                                        std::strerror(errno)));
  }
  ::close(nameless);
  const std::unique_lock lock(marker_, std::try_to_lock);
  uint64_t total = 0;
  std::string other;
  BALLAST_RETURN_IF_ERROR(list(total, other));
  if (marker_.is_new() && !other.empty()) {
    if (lock.owns_lock()) ::unlinkat(folder_fd_, CacheMarker::kName, 0);
    return refused(folder_, fmt::format("it holds \"{}\" and is no cache; choose a folder that is "
                                        "new or empty",
                                        other));
  }
  count_due_ = !lock.owns_lock();
  if (count_due_) return {};
  marker_.set_total(total);
  Status signed_now = marker_.sign();
  return signed_now.ok() ? signed_now : refused(folder_, signed_now.chain().front());
}

// mutex_ held.
Status CacheFolder::list(uint64_t& total, std::string& other) {
  const int listed = ::openat(folder_fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* directory = listed < 0 ? nullptr : ::fdopendir(listed);
  if (directory == nullptr) return refused(folder_, std::strerror(errno));
  std::vector<std::pair<std::string, uint64_t>> kept;
  total = 0;
  while (const dirent* item = ::readdir(directory)) {
    const std::string name = item->d_name;
    if (name == "." || name == ".." || name == CacheMarker::kName) continue;
    const std::optional<CacheRange> range = CacheRange::parse(name);
    if (!range) {
      other = name;
      continue;
    }
    kept.emplace_back(name, range->on_disk());
    total += range->on_disk();
  }
  ::closedir(directory);
  ranks_.set_kept(kept);
  return {};
}

// ---------------------------------------------------------------- what is known

void CacheFolder::expect(const CacheRange& range, uint64_t when) {
  if (!CacheRange::names_content(range.object)) return;
  std::lock_guard guard(mutex_);
  ranks_.reached(reached_);
  ranks_.expect(range.file_name(), when);
}

bool CacheFolder::holds(const CacheRange& range) const {
  return ::faccessat(folder_fd_, range.file_name().c_str(), R_OK, 0) == 0;
}

CacheCounters CacheFolder::counters() const {
  std::lock_guard guard(mutex_);
  return counters_;
}

// ---------------------------------------------------------------- reading

bool CacheFolder::read(const CacheRange& range, std::span<std::byte> into) {
  const std::string name = range.file_name();
  const bool aligned =
      range.bytes % kPage == 0 && reinterpret_cast<uintptr_t>(into.data()) % kPage == 0;
  int descriptor = -1;
  if (direct_ && aligned) {
    descriptor = ::openat(folder_fd_, name.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  }
  const bool direct = descriptor >= 0;
  if (!direct) descriptor = ::openat(folder_fd_, name.c_str(), O_RDONLY | O_CLOEXEC);
  const bool there = descriptor >= 0 && is_whole(descriptor, range.bytes);
  bool good = there && read_all(descriptor, into);
  if (there && !good && direct) {  // some file systems open so and do not read so
    ::close(descriptor);
    descriptor = ::openat(folder_fd_, name.c_str(), O_RDONLY | O_CLOEXEC);
    good = descriptor >= 0 && read_all(descriptor, into);
  }
  if (descriptor >= 0) ::close(descriptor);
  std::lock_guard guard(mutex_);
  settle();
  ranks_.touch(name);
  if (good && damaged_.contains(name)) return false;
  if (good) {
    if (!ranks_.contains(name)) ranks_.add(name, range.on_disk());  // another process kept it
    ++counters_.hits;
    return true;
  }
  if (descriptor < 0) {  // another process has removed it
    ranks_.drop(name);
    return false;
  }
  damaged_.insert(name);  // cut short
  settle();
  return false;
}

void CacheFolder::forget(const CacheRange& range) {
  std::lock_guard guard(mutex_);
  for (const std::string& name : ranks_.names()) {
    if (!CacheRange::parse(name)->overlaps(range) || !damaged_.insert(name).second) continue;
    ++counters_.forgotten;
  }
  settle();
}

// ---------------------------------------------------------------- keeping

void CacheFolder::write(const CacheRange& range, std::span<const std::byte> bytes) {
  const std::string name = range.file_name();
  {
    std::lock_guard guard(mutex_);
    ranks_.reached(reached_);
    settle();
    ranks_.touch(name);
    if (!is_wanted(name, range.on_disk())) {
      ++counters_.not_kept;
      return;
    }
  }
  const int descriptor = write_nameless(bytes);  // without the mutex: it takes its time
  if (descriptor < 0) return;
  std::lock_guard guard(mutex_);
  nameless_.push_back({descriptor, name, range.on_disk()});
  settle();
}

// mutex_ held.
bool CacheFolder::is_wanted(const std::string& name, uint64_t bytes) {
  const bool full = marker_.total() + bytes > bytes_max_;
  const bool waits = std::any_of(nameless_.begin(), nameless_.end(),
                                 [&name](const Nameless& file) { return file.name == name; });
  return !given_up_ && bytes <= bytes_max_ && !(full && ranks_.all_before(name)) && !waits &&
         nameless_.size() < kNamelessMost && has_space(bytes);
}

// -1: the disk is full, or failed.
int CacheFolder::write_nameless(std::span<const std::byte> bytes) {
  const int descriptor = ::openat(folder_fd_, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (descriptor >= 0 && write_fully(descriptor, bytes)) return descriptor;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  std::lock_guard guard(mutex_);
  give_up("write a file", error);
  return -1;
}

// mutex_ held. Does all that needs the marker, unless another process has it.
void CacheFolder::settle() {
  if (nameless_.empty() && damaged_.empty()) return;
  const std::unique_lock lock(marker_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  uint64_t total = marker_.total();
  if (count_due_) count_anew(total);
  remove_damaged(total);
  for (const Nameless& file : std::exchange(nameless_, {})) {
    publish(file, total);
    ::close(file.descriptor);
  }
}

// mutex_ and marker held.
void CacheFolder::count_anew(uint64_t& total) {
  std::string other;
  if (!list(total, other).ok()) return;
  marker_.set_total(total);
  count_due_ = !marker_.sign().ok();
}

// mutex_ and marker held.
void CacheFolder::remove_damaged(uint64_t& total) {
  for (const std::string& name : std::exchange(damaged_, {})) {
    if (::unlinkat(folder_fd_, name.c_str(), 0) == 0) {
      total -= std::min(total, CacheRange::parse(name)->on_disk());
      marker_.set_total(total);
    }
    ranks_.drop(name);
  }
}

// mutex_ and marker held.
void CacheFolder::publish(const Nameless& file, uint64_t& total) {
  if (!make_room(file.name, file.bytes, total)) {
    ++counters_.not_kept;
    return;
  }
  marker_.set_total(total + file.bytes);
  const std::string path = fmt::format("/proc/self/fd/{}", file.descriptor);
  if (::linkat(AT_FDCWD, path.c_str(), folder_fd_, file.name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    total += file.bytes;
    ++counters_.kept;
    return ranks_.add(file.name, file.bytes);
  }
  const int error = errno;
  marker_.set_total(total);
  if (error == EEXIST) return ranks_.add(file.name, file.bytes);  // another process was quicker
  give_up("name a file", error);
}

// mutex_ and marker held. False: everything that is there is needed before it.
bool CacheFolder::make_room(const std::string& name, uint64_t bytes, uint64_t& total) {
  bool counted = false;
  while (total + bytes > bytes_max_) {
    if (ranks_.empty()) {
      if (std::exchange(counted, true)) return false;
      count_anew(total);  // files of other processes are not known yet
      continue;
    }
    if (ranks_.all_before(name)) return false;
    const std::string victim = ranks_.first_to_go();
    if (::unlinkat(folder_fd_, victim.c_str(), 0) == 0) {
      total -= std::min(total, ranks_.bytes_of(victim));
      marker_.set_total(total);
      ++counters_.evicted;
    }
    ranks_.drop(victim);
  }
  return true;
}

// mutex_ held.
bool CacheFolder::has_space(uint64_t bytes) {
  struct statvfs disk {};
  if (::fstatvfs(folder_fd_, &disk) != 0) return true;
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  const uint64_t whole = uint64_t{disk.f_blocks} * disk.f_frsize;
  const uint64_t reserve = std::min(kReserveBytes, whole / kReserveShare);
  if (free >= bytes + reserve) return true;
  if (!said_no_space_) {
    log::warn(
        "data.cache = \"{}\": {} MiB are free on its disk; nothing more is kept while less "
        "than {} MiB are left",
        folder_, free >> 20, reserve >> 20);
  }
  said_no_space_ = true;
  return false;
}

// mutex_ held.
void CacheFolder::give_up(const std::string& attempted, int error) {
  ++counters_.not_kept;
  if (given_up_) return;
  given_up_ = true;
  log::warn("data.cache = \"{}\": {}: {}; the job goes on, and keeps nothing more", folder_,
            attempted, std::strerror(error));
}

}  // namespace ballast
