#include "worker/data/source/cached_source.h"

#include "common/base/log.h"

// thread   takes from          gives to
// caller   -                   jobs, or the remote source
// remote   -                   jobs (what arrived)
// cache    jobs                done; the remote source, for what the folder does not have
namespace ballast {
namespace {

constexpr size_t kThreads = 2;
constexpr size_t kArrivedMost = 16;  // waiting for the disk; what comes then is not kept

Status stopped() {
  return Status(Code::kStopped, "the loader ends");
}

}  // namespace

CachedSource::CachedSource(std::unique_ptr<Source> remote, std::shared_ptr<CacheFolder> folder)
    : remote_(std::move(remote)), folder_(std::move(folder)) {
  for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
}

CachedSource::~CachedSource() {
  std::deque<Job> left;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    left.swap(jobs_);
  }
  asked_.notify_all();
  threads_.clear();  // none asks the remote source any more
  for (Job& job : left) job.done(job.arrived ? Status() : stopped());
  remote_.reset();
  const CacheCounters count = counters();
  if (count.hits + count.kept + count.not_kept == 0) return;
  log::info("data.cache: {} blocks found, {} kept, {} not kept, {} given up, {} damaged",
            count.hits, count.kept, count.not_kept, count.evicted, count.forgotten);
}

void CachedSource::read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                        Done done) {
  Job job{{object, offset, into.size()}, into, std::move(done)};
  const bool cached = CacheRange::names_content(object) && folder_->holds(job.range);
  if (cached && enqueue(job)) return;
  fetch(std::move(job));
}

// False: the source ends.
bool CachedSource::enqueue(Job& job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    arrived_ += job.arrived ? 1 : 0;
    jobs_.push_back(std::move(job));
  }
  asked_.notify_one();
  return true;
}

void CachedSource::fetch(Job job) {
  {
    std::unique_lock lock(mutex_);
    if (stopping_) {
      lock.unlock();
      return job.done(stopped());
    }
  }
  const CacheRange range = job.range;
  const std::span<std::byte> into = job.into;
  // Shared: std::function copies what it holds.
  const auto held = std::make_shared<Job>(std::move(job));
  remote_->read(range.object, range.offset, into,
                [this, held](Status status) { on_arrival(std::move(*held), std::move(status)); });
}

// On a thread of the remote source.
void CachedSource::on_arrival(Job job, Status status) {
  bool keep = status.ok() && CacheRange::names_content(job.range.object) && !job.into.empty();
  if (keep) {
    std::lock_guard lock(mutex_);
    keep = arrived_ < kArrivedMost;
  }
  job.arrived = keep;
  if (keep && enqueue(job)) return;
  job.done(std::move(status));
}

void CachedSource::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // No deadline: idle is no fault, and the destructor wakes and joins.
    asked_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    arrived_ -= job.arrived ? 1 : 0;
    lock.unlock();
    run(std::move(job));
    lock.lock();
  }
}

void CachedSource::run(Job job) {
  if (job.arrived) {
    folder_->write(job.range, job.into);
    return job.done(Status());
  }
  if (folder_->read(job.range, job.into)) return job.done(Status());
  fetch(std::move(job));
}

Result<uint64_t> CachedSource::size_of(const std::string& object) {
  return remote_->size_of(object);
}

void CachedSource::forget(const std::string& object, uint64_t offset, uint64_t bytes) {
  if (CacheRange::names_content(object)) folder_->forget({object, offset, bytes});
}

void CachedSource::expect(const std::string& object, uint64_t offset, uint64_t bytes,
                          uint64_t when) {
  folder_->expect({object, offset, bytes}, when);
}

std::string CachedSource::name_of(const std::string& object) const {
  return remote_->name_of(object);
}

}  // namespace ballast
