#include "common/compute/cpu/crew.h"

#include "common/base/check.h"

namespace ballast::cpu {

Crew::Crew(uint32_t threads) {
  BALLAST_CHECK(threads > 0);
  for (uint32_t part = 1; part < threads; ++part) {
    helpers_.emplace_back([this, part] { help(part); });
  }
}

Crew::~Crew() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  started_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Crew::run_parts(const Job& job) {
  if (helpers_.empty()) return job.call(job.task, 0);
  {
    std::lock_guard lock(mutex_);
    job_ = job;
    ++job_number_;
    parts_left_ = static_cast<uint32_t>(helpers_.size());
  }
  started_.notify_all();
  job.call(job.task, 0);
  std::unique_lock lock(mutex_);
  // No deadline: every helper runs its part, and a task is arithmetic that ends and does not throw.
  finished_.wait(lock, [this] { return parts_left_ == 0; });
}

void Crew::help(uint32_t part) {
  uint64_t done = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    // No deadline: idle is no fault, and the destructor wakes and joins.
    started_.wait(lock, [&] { return stopping_ || job_number_ != done; });
    if (stopping_) return;
    done = job_number_;
    const Job job = job_;
    lock.unlock();
    job.call(job.task, part);
    lock.lock();
    if (--parts_left_ == 0) finished_.notify_one();
  }
}

}  // namespace ballast::cpu
