#include "worker/data/source/local_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "common/base/hash.h"
#include "common/base/system_memory.h"
#include "worker/data/file.h"

namespace ballast {
namespace {

constexpr uint64_t kDirectAlignment = 4096;
constexpr size_t kFilesOpenMax = 64;
constexpr size_t kHashedAtOnce = 256 << 10;  // read and hashed at a time: in a near cache

bool aligned(uint64_t offset, std::span<const std::byte> into) {
  return offset % kDirectAlignment == 0 && into.size() % kDirectAlignment == 0 &&
         reinterpret_cast<uintptr_t>(into.data()) % kDirectAlignment == 0;
}

Status stopped() {
  return Status(Code::kStopped, "the loader ends");
}

// As read_fully, through the page cache. XXH3 takes half the time of what it would over 2 MiB read
// at once: 6.7 and 12 ns a row of 160 bytes (a profile of bench/micro/stream_bench, Intel Xeon with
// 2 MiB of second cache).
ssize_t read_and_hash(int file, uint64_t offset, std::span<std::byte> into, Hasher& hasher) {
  size_t filled = 0;
  while (filled < into.size()) {
    const auto piece = into.subspan(filled, std::min(kHashedAtOnce, into.size() - filled));
    const ssize_t got = read_fully(file, offset + filled, piece);
    if (got < 0) return got;
    hasher.add(piece.first(static_cast<size_t>(got)));
    filled += static_cast<size_t>(got);
    if (static_cast<size_t>(got) < piece.size()) break;
  }
  return static_cast<ssize_t>(filled);
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
  // The hash is made for nobody: blocks are read with read_hashed(), all else with read_now().
  read_hashed(object, offset, into,
              [done = std::move(done)](const Result<uint64_t>& read) { done(read.status()); });
}

void LocalSource::read_hashed(const std::string& object, uint64_t offset, std::span<std::byte> into,
                              DoneHashed done) {
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
  return serve(object, offset, into, nullptr);
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
    Hasher hasher;
    const Status status = serve(request->object, request->offset, request->into, &hasher);
    request->done(status.ok() ? Result<uint64_t>(hasher.digest()) : status);
    request.reset();  // without the mutex: what `done` holds may take its owner's
    lock.lock();
  }
}

Status LocalSource::serve(const std::string& object, uint64_t offset, std::span<std::byte> into,
                          Hasher* hasher) {
  BALLAST_ASSIGN(const std::shared_ptr<OpenFile> file, open(object));
  const bool direct = file->direct >= 0 && aligned(offset, into);
  ssize_t got = direct ? read_fully(file->direct, offset, into) : 0;
  // Some file systems open with O_DIRECT and then refuse to read so.
  const bool refused = got < 0 && errno == EINVAL;
  if (direct && !refused) {
    if (got > 0 && hasher != nullptr) hasher->add(into.first(static_cast<size_t>(got)));
  } else {
    got = hasher == nullptr ? read_fully(file->cached, offset, into)
                            : read_and_hash(file->cached, offset, into, *hasher);
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
