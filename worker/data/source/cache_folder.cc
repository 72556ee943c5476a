#include "worker/data/source/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <thread>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/time.h"
#include "worker/data/file.h"

namespace ballast {
namespace {

constexpr auto kMarker = "ballast-cache";
constexpr std::string_view kMarkerText = "ballast data cache, version 1\n";
constexpr off_t kTotalAt = 64;
constexpr std::string_view kSuffix = ".cached";
constexpr std::string_view kChunkSuffix = ".blc";
constexpr size_t kDigits = 16;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kReserveBytes = uint64_t{1} << 30;  // left free on the disk, or
constexpr uint64_t kReserveShare = 20;                 // a twentieth of it, if that is less
constexpr Duration kLockPause = 1ms;
constexpr Duration kLockMost = 200ms;  // then a block is not kept: the holder may have been stopped
constexpr Duration kOpenMost = 5s;

uint64_t on_disk(uint64_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

bool is_hex(std::string_view text) {
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string file_name(const CacheRange& range) {
  return fmt::format("{}-{:016x}-{:016x}{}", range.object.substr(0, kDigits), range.offset,
                     range.bytes, kSuffix);
}

// Only what file_name() makes.
std::optional<CacheRange> parse_name(const std::string& name) {
  const size_t length = 3 * kDigits + 2 + kSuffix.size();
  if (name.size() != length || !name.ends_with(kSuffix) || name[kDigits] != '-' ||
      name[2 * kDigits + 1] != '-') {
    return std::nullopt;
  }
  const auto part = [&name](size_t i) { return name.substr(i * (kDigits + 1), kDigits); };
  if (!is_hex(part(0)) || !is_hex(part(1)) || !is_hex(part(2))) return std::nullopt;
  return CacheRange{part(0) + std::string(kChunkSuffix), std::stoull(part(1), nullptr, 16),
                    std::stoull(part(2), nullptr, 16)};
}

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

// The marker's flock; false where somebody held it for too long.
class CacheFolder::Lock {
 public:
  Lock(int marker, Duration most) : marker_(marker) {
    for (Duration waited{}; waited <= most; waited += kLockPause) {
      held_ = ::flock(marker, LOCK_EX | LOCK_NB) == 0;
      if (held_ || errno != EWOULDBLOCK) return;
      std::this_thread::sleep_for(kLockPause);
    }
  }
  ~Lock() {
    if (held_) ::flock(marker_, LOCK_UN);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  [[nodiscard]] bool held() const { return held_; }

 private:
  const int marker_;
  bool held_ = false;
};

// ---------------------------------------------------------------- life

Result<std::unique_ptr<CacheFolder>> CacheFolder::open(const std::string& folder,
                                                       uint64_t bytes_max, bool direct) {
  Status made = make_folder(folder);
  if (!made.ok()) return refused(folder, made.to_string());
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return refused(folder, std::strerror(errno));
  const int marker_fd = ::openat(folder_fd, kMarker, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (marker_fd < 0) {
    const std::string why = std::strerror(errno);
    ::close(folder_fd);
    return refused(folder, why);
  }
  std::unique_ptr<CacheFolder> cache(
      new CacheFolder(folder, bytes_max, direct, folder_fd, marker_fd));
  BALLAST_RETURN_IF_ERROR(cache->begin());
  return cache;
}

CacheFolder::CacheFolder(std::string folder, uint64_t bytes_max, bool direct, int folder_fd,
                         int marker_fd)
    : folder_(std::move(folder)),
      bytes_max_(bytes_max),
      direct_(direct),
      folder_fd_(folder_fd),
      marker_fd_(marker_fd) {}

CacheFolder::~CacheFolder() {
  ::close(marker_fd_);
  ::close(folder_fd_);
}

Status CacheFolder::begin() {
  std::lock_guard guard(mutex_);
  const Lock lock(marker_fd_, kOpenMost);
  if (!lock.held()) return refused(folder_, "another process has it locked, and does not go on");
  const int nameless = ::openat(folder_fd_, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (nameless < 0) {
    return refused(folder_, fmt::format("no files without a name (O_TMPFILE) can be made there: "
                                        "{}; choose one on ext4, xfs, btrfs or tmpfs",
                                        std::strerror(errno)));
  }
  ::close(nameless);
  char text[kMarkerText.size()] = {};
  const ssize_t got = ::pread(marker_fd_, text, sizeof text, 0);
  const bool known = std::string_view(text, sizeof text) == kMarkerText;
  const bool is_new = got <= 0 || std::all_of(text, text + got, [](char c) { return c == 0; });
  if (!known && !is_new) {
    return refused(folder_, fmt::format("its file {} is of something else", kMarker));
  }
  BALLAST_RETURN_IF_ERROR(scan(is_new));
  if (is_new) {
    const ssize_t put = ::pwrite(marker_fd_, kMarkerText.data(), kMarkerText.size(), 0);
    if (put < 0) return refused(folder_, std::strerror(errno));
  }
  return {};
}

// mutex_ and lock held. What is there now, and its sum; other files only where the marker is known.
Status CacheFolder::scan(bool is_new) {
  const int listed = ::openat(folder_fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* directory = listed < 0 ? nullptr : ::fdopendir(listed);
  if (directory == nullptr) return refused(folder_, std::strerror(errno));
  std::unordered_map<std::string, Entry> before;
  before.swap(entries_);
  ranks_.clear();
  uint64_t total = 0;
  std::string other;
  while (const dirent* item = ::readdir(directory)) {
    const std::string name = item->d_name;
    if (name == "." || name == ".." || name == kMarker) continue;
    const std::optional<CacheRange> range = parse_name(name);
    if (!range) {
      other = name;
      continue;
    }
    const uint64_t bytes = on_disk(range->bytes);
    total += bytes;
    const auto known = before.find(name);
    Entry& entry = entries_[name];
    entry.bytes = bytes;
    entry.used = known == before.end() ? 0 : known->second.used;
    rank(name, entry);
  }
  ::closedir(directory);
  if (is_new && !other.empty()) {
    ::unlinkat(folder_fd_, kMarker, 0);
    return refused(folder_, fmt::format("it holds \"{}\" and is no cache; choose a folder that is "
                                        "new or empty",
                                        other));
  }
  store_total(total);
  return {};
}

bool CacheFolder::keeps(const std::string& object) {
  return object.size() == kDigits + kChunkSuffix.size() && object.ends_with(kChunkSuffix) &&
         is_hex(std::string_view(object).substr(0, kDigits));
}

// ---------------------------------------------------------------- what is known

// mutex_ held, as in all of this part.
uint64_t CacheFolder::next_use(const std::string& name) const {
  const auto found = expected_.find(name);
  if (found == expected_.end()) return kNever;
  uint64_t next = kNever;
  for (uint64_t when : found->second) {
    if (when > now_) next = std::min(next, when);
  }
  return next;
}

void CacheFolder::rank(const std::string& name, Entry& entry) {
  ranks_.erase(entry.rank);
  entry.rank = {next_use(name), kNever - entry.used, name};
  ranks_.insert(entry.rank);
}

void CacheFolder::add(const std::string& name, uint64_t bytes) {
  Entry& entry = entries_[name];
  entry.bytes = bytes;
  entry.used = ++uses_;
  rank(name, entry);
}

void CacheFolder::drop(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  ranks_.erase(found->second.rank);
  entries_.erase(found);
}

// It is read now: what was expected at this time has been.
void CacheFolder::touch(const std::string& name) {
  const uint64_t use = next_use(name);
  if (use != kNever) now_ = std::max(now_, use);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  found->second.used = ++uses_;
  rank(name, found->second);
}

void CacheFolder::expect(const CacheRange& range, uint64_t when) {
  constexpr size_t kUsesKept = 2;  // this epoch's and the next one's
  if (!keeps(range.object)) return;
  const std::string name = file_name(range);
  std::lock_guard guard(mutex_);
  std::vector<uint64_t>& uses = expected_[name];
  if (uses.size() == kUsesKept) uses.erase(uses.begin());
  uses.push_back(when);
  const auto found = entries_.find(name);
  if (found != entries_.end()) rank(name, found->second);
}

bool CacheFolder::holds(const CacheRange& range) const {
  return ::faccessat(folder_fd_, file_name(range).c_str(), R_OK, 0) == 0;
}

CacheCounters CacheFolder::counters() const {
  std::lock_guard guard(mutex_);
  return counters_;
}

// ---------------------------------------------------------------- reading

bool CacheFolder::read(const CacheRange& range, std::span<std::byte> into) {
  const std::string name = file_name(range);
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
  touch(name);
  if (good) {
    if (!entries_.contains(name)) add(name, on_disk(range.bytes));  // another process kept it
    ++counters_.hits;
    return true;
  }
  if (descriptor < 0) {  // another process has removed it
    drop(name);
    return false;
  }
  const Lock lock(marker_fd_, kLockMost);
  if (!lock.held()) return false;
  if (::unlinkat(folder_fd_, name.c_str(), 0) == 0) {
    store_total(load_total() - std::min(load_total(), on_disk(range.bytes)));
  }
  drop(name);
  return false;
}

void CacheFolder::forget(const CacheRange& range) {
  std::lock_guard guard(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    const CacheRange known = *parse_name(name);
    if (known.object == range.object && known.offset < range.offset + range.bytes &&
        range.offset < known.offset + known.bytes) {
      names.push_back(name);
    }
  }
  if (names.empty()) return;
  const Lock lock(marker_fd_, kOpenMost);
  for (const std::string& name : names) {
    const uint64_t bytes = entries_[name].bytes;
    if (lock.held() && ::unlinkat(folder_fd_, name.c_str(), 0) == 0) {
      store_total(load_total() - std::min(load_total(), bytes));
    }
    drop(name);
    ++counters_.forgotten;
  }
}

// ---------------------------------------------------------------- keeping

void CacheFolder::write(const CacheRange& range, std::span<const std::byte> bytes) {
  const std::string name = file_name(range);
  const uint64_t size = on_disk(range.bytes);
  {
    std::lock_guard guard(mutex_);
    touch(name);
    const bool full = load_total() + size > bytes_max_;
    const bool later = !ranks_.empty() && next_use(name) != kNever &&
                       std::get<0>(*ranks_.rbegin()) < next_use(name);
    if (given_up_ || size > bytes_max_ || (full && later) || !has_space(size)) {
      ++counters_.not_kept;
      return;
    }
  }
  const int descriptor = write_nameless(bytes);  // without the mutex: it takes its time
  if (descriptor < 0) return;
  publish(descriptor, name, size);
  ::close(descriptor);
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

void CacheFolder::publish(int descriptor, const std::string& name, uint64_t bytes) {
  std::lock_guard guard(mutex_);
  const Lock lock(marker_fd_, kLockMost);
  uint64_t total = load_total();
  if (!lock.held() || !make_room(name, bytes, total)) {
    ++counters_.not_kept;
    return;
  }
  store_total(total + bytes);
  const std::string nameless = fmt::format("/proc/self/fd/{}", descriptor);
  if (::linkat(AT_FDCWD, nameless.c_str(), folder_fd_, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    ++counters_.kept;
    return add(name, bytes);
  }
  const int error = errno;
  store_total(total);
  if (error == EEXIST) return add(name, bytes);  // another process was quicker
  give_up("name a file", error);
}

// mutex_ and lock held. False: everything that is there is needed before it.
bool CacheFolder::make_room(const std::string& name, uint64_t bytes, uint64_t& total) {
  bool scanned = false;
  while (total + bytes > bytes_max_) {
    if (ranks_.empty()) {
      if (scanned || !scan(false).ok()) return false;  // files of other processes are not known yet
      scanned = true;
      total = load_total();
      continue;
    }
    const auto& [needed, used, victim] = *ranks_.rbegin();
    if (needed != kNever && needed < next_use(name)) return false;
    const std::string victim_name = victim;
    const uint64_t victim_bytes = entries_[victim_name].bytes;
    if (::unlinkat(folder_fd_, victim_name.c_str(), 0) == 0) {
      total -= std::min(total, victim_bytes);
      store_total(total);
      ++counters_.evicted;
    }
    drop(victim_name);
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

void CacheFolder::store_total(uint64_t total) {
  // What cannot be written is counted anew when the folder is opened.
  [[maybe_unused]] const ssize_t put = ::pwrite(marker_fd_, &total, sizeof total, kTotalAt);
}

uint64_t CacheFolder::load_total() const {
  uint64_t total = 0;
  return ::pread(marker_fd_, &total, sizeof total, kTotalAt) == sizeof total ? total : 0;
}

}  // namespace ballast
