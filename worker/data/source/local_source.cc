#include "worker/data/source/local_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "common/base/system_memory.h"

namespace ballast {
namespace {

constexpr uint64_t kDirectAlignment = 4096;
constexpr size_t kFilesOpenMax = 64;

bool aligned(uint64_t offset, std::span<const std::byte> into) {
  return offset % kDirectAlignment == 0 && into.size() % kDirectAlignment == 0 &&
         reinterpret_cast<uintptr_t>(into.data()) % kDirectAlignment == 0;
}

// How many bytes were read before the end of the file, or -1 with errno.
ssize_t read_fully(int descriptor, std::span<std::byte> into, uint64_t offset) {
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

}  // namespace

LocalSource::OpenFile::~OpenFile() {
  if (cached >= 0) ::close(cached);
  if (direct >= 0) ::close(direct);
}

LocalSource::LocalSource(std::string folder, uint32_t threads, bool direct)
    : folder_(std::move(folder)), direct_(direct) {
  for (uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

LocalSource::~LocalSource() {
  std::deque<Request> dropped;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(requests_);
  }
  asked_.notify_all();
  threads_.clear();
  for (Request& request : dropped) request.done(Status(Code::kStopped, "the loader ends"));
}

std::string LocalSource::path_of(const std::string& object) const {
  return folder_ + "/" + object;
}

void LocalSource::read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                       Done done) {
  {
    std::lock_guard lock(mutex_);
    requests_.push_back({object, offset, into, std::move(done)});
  }
  asked_.notify_one();
}

void LocalSource::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // No deadline: idle is no fault, and the destructor wakes and joins.
    asked_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
    if (stopping_) return;
    std::optional<Request> request(std::move(requests_.front()));
    requests_.pop_front();
    lock.unlock();
    request->done(serve(*request));
    request.reset();  // without the mutex: what `done` holds may take its owner's
    lock.lock();
  }
}

Status LocalSource::serve(const Request& request) {
  BALLAST_ASSIGN(const std::shared_ptr<OpenFile> file, open(request.object));
  const bool direct = file->direct >= 0 && aligned(request.offset, request.into);
  ssize_t got = read_fully(direct ? file->direct : file->cached, request.into, request.offset);
  // Some file systems open with O_DIRECT and then refuse to read so.
  if (got < 0 && direct && errno == EINVAL) {
    got = read_fully(file->cached, request.into, request.offset);
  }
  if (got < 0) {
    return Status(Code::kUnavailable, fmt::format("read {} at byte {}: {}", path_of(request.object),
                                                  request.offset, std::strerror(errno)));
  }
  if (static_cast<size_t>(got) == request.into.size()) return {};
  return Status(Code::kDataLoss,
                fmt::format("{} is cut short: {} bytes expected at byte {}, {} found",
                            path_of(request.object), request.into.size(), request.offset, got));
}

Result<std::shared_ptr<LocalSource::OpenFile>> LocalSource::open(const std::string& object) {
  {
    std::lock_guard lock(mutex_);
    if (const auto known = files_.find(object); known != files_.end()) return known->second;
  }
  const std::string path = path_of(object);
  auto file = std::make_shared<OpenFile>();
  file->cached = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file->cached < 0) {
    const Code code = errno == ENOENT   ? Code::kNotFound
                      : errno == EACCES ? Code::kInvalidInput
                                        : Code::kUnavailable;
    return Status(code, fmt::format("open {}: {}", path, std::strerror(errno)));
  }
  if (direct_) file->direct = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  std::lock_guard lock(mutex_);
  if (files_.size() >= kFilesOpenMax) files_.clear();  // those in use close with their last read
  files_[object] = file;
  return file;
}

bool past_the_page_cache(uint64_t bytes) {
  return bytes > memory_limit_bytes() / 2;
}

}  // namespace ballast
