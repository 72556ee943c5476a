#include "worker/data/source/cache_marker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "worker/data/file.h"

namespace ballast {
namespace {

constexpr std::string_view kText = "ballast data cache, version 1\n";
constexpr off_t kTotalAt = 64;

Status refused(const std::string& why) {
  return Status(Code::kInvalidInput, why);
}

}  // namespace

Result<CacheMarker> CacheMarker::open(int folder_fd) {
  const int descriptor = ::openat(folder_fd, kName, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return refused(std::strerror(errno));
  CacheMarker marker(descriptor, false);
  char text[kText.size()] = {};
  const ssize_t got = read_fully(descriptor, 0, std::as_writable_bytes(std::span(text)));
  marker.is_new_ = got <= 0 || std::all_of(text, text + got, [](char c) { return c == 0; });
  if (!marker.is_new_ && std::string_view(text, sizeof text) != kText) {
    return refused(fmt::format("its file {} is of something else", kName));
  }
  if (marker.try_lock()) {
    marker.unlock();
  } else if (errno != EWOULDBLOCK) {
    return refused(
        fmt::format("its file {} cannot be locked: {}; choose one on a file system with "
                    "locks",
                    kName, std::strerror(errno)));
  }
  return marker;
}

CacheMarker::~CacheMarker() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

CacheMarker::CacheMarker(CacheMarker&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), is_new_(other.is_new_) {}

bool CacheMarker::try_lock() {
  return ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
}

void CacheMarker::unlock() {
  ::flock(descriptor_, LOCK_UN);
}

Status CacheMarker::sign() {
  if (::pwrite(descriptor_, kText.data(), kText.size(), 0) < 0) {
    return refused(std::strerror(errno));
  }
  is_new_ = false;
  return {};
}

void CacheMarker::set_total(uint64_t total) {
  // What cannot be written is counted anew when the folder is opened.
  [[maybe_unused]] const ssize_t put = ::pwrite(descriptor_, &total, sizeof total, kTotalAt);
}

uint64_t CacheMarker::total() const {
  uint64_t total = 0;
  return ::pread(descriptor_, &total, sizeof total, kTotalAt) == sizeof total ? total : 0;
}

}  // namespace ballast
