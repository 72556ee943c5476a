// LocalSource: objects in a folder, read by a few threads; read_now() reads on the caller's. Past
// the page cache (O_DIRECT) where there is more to read than half of the memory that the machine,
// or the control group, has, since the cache would drop it before it is read again, and where
// offset, length and memory are multiples of 4 KiB, as whole blocks are: 1.9 to 2.8 GB/s of a cold
// disk at 0.06 to 0.11 processor seconds a GB, verified (bench/micro/stream_bench). File systems
// without it, and other reads, go through the cache.
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

class Hasher;

class LocalSource final : public Source {
 public:
  explicit LocalSource(std::string folder, const Reading& reading = {});
  ~LocalSource() override;

  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override;
  void read_hashed(const std::string& object, uint64_t offset, std::span<std::byte> into,
                   DoneHashed done) override;
  Status read_now(const std::string& object, uint64_t offset, std::span<std::byte> into) override;
  Result<uint64_t> size_of(const std::string& object) override;
  [[nodiscard]] bool is_remote() const override { return false; }
  [[nodiscard]] std::string name_of(const std::string& object) const override;

 private:
  struct Request {
    std::string object;
    uint64_t offset;
    std::span<std::byte> into;
    DoneHashed done;
  };
  // Both ways into one file; closed when the last read that uses it is done.
  struct OpenFile {
    ~OpenFile();
    int cached = -1;
    int direct = -1;  // none: not asked for, or the file system has no such thing
  };

  void work();
  // hasher: of what was read; null: nobody asks.
  [[nodiscard]] Status serve(const std::string& object, uint64_t offset, std::span<std::byte> into,
                             Hasher* hasher);
  [[nodiscard]] Result<std::shared_ptr<OpenFile>> open(const std::string& object);

  const std::string folder_;
  const bool direct_;
  const uint32_t threads_wanted_;
  std::mutex mutex_;  // guards all below
  std::condition_variable asked_;
  std::deque<Request> requests_;
  std::map<std::string, std::shared_ptr<OpenFile>> files_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  // last: they use what is above
};

}  // namespace ballast
