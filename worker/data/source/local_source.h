// LocalSource: chunks in a folder, read by a few threads. `direct`: past the page cache (O_DIRECT)
// where offset, length and memory are multiples of 4 KiB, as whole blocks are: 3.2 GB/s of a cold
// disk at 0.06 processor seconds a GB, verified (bench/micro/stream_bench). File systems without
// it, and other reads, go through the cache.
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
