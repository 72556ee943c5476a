#include "worker/data/source/local_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "common/base/system_memory.h"
#include "worker/data/file.h"

namespace ballast {
namespace {

constexpr uint64_t kDirectAlignment = 4096;
constexpr size_t kFilesOpenMax = 64;

bool aligned(uint64_t offset, std::span<const std::byte> into) {
  return offset % kDirectAlignment == 0 && into.size() % kDirectAlignment == 0 &&
         reinterpret_cast<uintptr_t>(into.data()) % kDirectAlignment == 0;
}

Status stopped() {
  return Status(Code::kStopped, "the loader ends");
}

}  // namespace

LocalSource::OpenFile::~OpenFile() {
  if (cached >= 0) ::close(cached);
  if (direct >= 0) ::close(direct);
}

LocalSource::LocalSource(std::string folder, const Reading& reading)
    : folder_(std::move(folder)),
      direct_(reading.bytes > memory_limit_bytes() / 2),
      threads_wanted_(std::max(1u, reading.threads)) {}

LocalSource::~LocalSource() {
  std::deque<Request> dropped;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(requests_);
  }
  asked_.notify_all();
  threads_.clear();
  for (Request& request : dropped) request.done(stopped());
}

std::string LocalSource::name_of(const std::string& object) const {
  return folder_ + "/" + object;
}

void LocalSource::read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                       Done done) {
  {
    std::unique_lock lock(mutex_);
    if (stopping_) {
      lock.unlock();
      return done(stopped());
    }
    requests_.push_back({object, offset, into, std::move(done)});
    while (threads_.size() < threads_wanted_) threads_.emplace_back([this] { work(); });
  }
  asked_.notify_one();
}

Status LocalSource::read_now(const std::string& object, uint64_t offset,
                             std::span<std::byte> into) {
  return serve(object, offset, into);
}

Result<uint64_t> LocalSource::size_of(const std::string& object) {
  BALLAST_ASSIGN(const File file, File::open(name_of(object)));
  return file.size();
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
    request->done(serve(request->object, request->offset, request->into));
    request.reset();  // without the mutex: what `done` holds may take its owner's
    lock.lock();
  }
}

Status LocalSource::serve(const std::string& object, uint64_t offset, std::span<std::byte> into) {
  BALLAST_ASSIGN(const std::shared_ptr<OpenFile> file, open(object));
  const bool direct = file->direct >= 0 && aligned(offset, into);
  ssize_t got = read_fully(direct ? file->direct : file->cached, offset, into);
  // Some file systems open with O_DIRECT and then refuse to read so.
  if (got < 0 && direct && errno == EINVAL) {
    got = read_fully(file->cached, offset, into);
  }
  if (got < 0) {
    return Status(Code::kUnavailable, fmt::format("read {} at byte {}: {}", name_of(object), offset,
                                                  std::strerror(errno)));
  }
  if (static_cast<size_t>(got) == into.size()) return {};
  return Status(Code::kDataLoss,
                fmt::format("{} is cut short: {} bytes expected at byte {}, {} found",
                            name_of(object), into.size(), offset, got));
}

Result<std::shared_ptr<LocalSource::OpenFile>> LocalSource::open(const std::string& object) {
  bool direct_too = false;
  {
    std::lock_guard lock(mutex_);
    direct_too = direct_;
    if (const auto known = files_.find(object); known != files_.end()) return known->second;
  }
  const std::string path = name_of(object);
  auto file = std::make_shared<OpenFile>();
  file->cached = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file->cached < 0) {
    const Code code = errno == ENOENT   ? Code::kNotFound
                      : errno == EACCES ? Code::kInvalidInput
                                        : Code::kUnavailable;
    return Status(code, fmt::format("open {}: {}", path, std::strerror(errno)));
  }
  if (direct_too) file->direct = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  std::lock_guard lock(mutex_);
  if (files_.size() >= kFilesOpenMax) files_.clear();  // those in use close with their last read
  files_[object] = file;
  return file;
}

}  // namespace ballast
