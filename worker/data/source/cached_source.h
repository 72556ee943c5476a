// CachedSource: a remote source whose content-named objects are kept in a folder (cache_folder.h),
// range by range as they are asked for. What arrives is written to the folder before `done` is
// called, by threads of its own, while later reads are on their way; where the disk is slower than
// the network, it is not kept.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "worker/data/source/cache_folder.h"
#include "worker/data/source/source.h"

namespace ballast {

class CachedSource final : public Source {
 public:
  CachedSource(std::unique_ptr<Source> remote, std::shared_ptr<CacheFolder> folder);
  ~CachedSource() override;

  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override;
  Result<uint64_t> size_of(const std::string& object) override;
  void forget(const std::string& object, uint64_t offset, uint64_t bytes) override;
  void expect(const std::string& object, uint64_t offset, uint64_t bytes, uint64_t when) override;
  void reached(uint64_t when) override { folder_->reached(when); }
  [[nodiscard]] bool is_remote() const override { return true; }
  [[nodiscard]] std::string name_of(const std::string& object) const override;
  [[nodiscard]] CacheCounters counters() const { return folder_->counters(); }

 private:
  struct Job {
    CacheRange range;
    std::span<std::byte> into;
    Done done;
    bool arrived = false;  // the bytes are there and are to be kept
  };

  void work();
  void run(Job job);
  void fetch(Job job);
  void on_arrival(Job job, Status status);
  [[nodiscard]] bool enqueue(Job& job);

  std::unique_ptr<Source> remote_;
  const std::shared_ptr<CacheFolder> folder_;
  std::mutex mutex_;  // guards all below
  std::condition_variable asked_;
  std::deque<Job> jobs_;
  size_t arrived_ = 0;  // of them
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  // last: they use what is above
};

}  // namespace ballast
