// LocalSource: chunks in a folder, read by a few threads. `direct`: past the page cache (O_DIRECT)
// where offset, length and memory are multiples of 4 KiB, as whole blocks are: a cold disk
// gives 2.0 to 2.2 GB/s at 0.03 CPU-seconds a GB that way, 0.6 to 0.9 GB/s at 0.5 to 0.9 through
// the cache (research/data_streaming.md). File systems without it, and other reads, go through the
// cache.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "worker/data/source/source.h"

namespace ballast {

class LocalSource final : public Source {
 public:
  LocalSource(std::string folder, uint32_t threads, bool direct);
  ~LocalSource() override;

  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override;

 private:
  struct Request {
    std::string object;
    uint64_t offset;
    std::span<std::byte> into;
    Done done;
  };
  // Both ways into one file; closed when the last read that uses it is done.
  struct OpenFile {
    ~OpenFile();
    int cached = -1;
    int direct = -1;  // none: not asked for, or the file system has no such thing
  };

  void work();
  [[nodiscard]] std::string path_of(const std::string& object) const;
  [[nodiscard]] Status serve(const Request& request);
  [[nodiscard]] Result<std::shared_ptr<OpenFile>> open(const std::string& object);

  const std::string folder_;
  const bool direct_;
  std::mutex mutex_;  // guards all below but threads_
  std::condition_variable asked_;
  std::deque<Request> requests_;
  std::map<std::string, std::shared_ptr<OpenFile>> files_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  // last: they use what is above
};

// Whether data of this size is better read so: it is more than half of the memory that the machine,
// or the control group, has, so the cache would drop it before it is read again.
[[nodiscard]] bool past_the_page_cache(uint64_t bytes);

}  // namespace ballast
