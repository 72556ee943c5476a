// HttpSource: a data set below an http(s) address, read in ranges. One thread and libcurl's multi
// handle; connections are kept.
//
// What goes wrong on the way is tried again, on a new connection where the old one was slow or
// broke, after a random pause up to 0.1 s x 2^attempt (full jitter), until `deadline`: refused and
// broken connections, time-outs, short answers, 408, 429 and 5xx. How many reads are under way at
// once follows the server: one more for each window of good answers, half after a bad one (AIMD). A
// read slower than 95 of 100 is asked for once more beside it, for up to 5 % more bytes, and the
// first to come counts. The first answer's ETag is sent with every later read of the object, so
// that an object that is replaced meanwhile is an error and not a mixture. Sources: research in
// DESIGN.md section 7; Dean and Barroso, The Tail at Scale (hedged requests).
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "common/base/time.h"
#include "worker/data/source/source.h"

namespace ballast {

class HttpLoop;

struct HttpLimits {
  Duration connect = 5s;
  Duration stall = 5s;       // without any byte
  Duration deadline = 120s;  // of one read, all attempts together
  Duration pause_most = 8s;  // between two attempts
  uint32_t reads_most = 64;  // at a time
};

struct HttpCounters {
  uint64_t requests = 0;
  uint64_t retries = 0;
  uint64_t hedges = 0;
  uint64_t hedges_won = 0;
  uint64_t bytes = 0;  // delivered
};

class HttpSource final : public Source {
 public:
  // `url` without the object's name. Does not connect yet. kExhausted: libcurl has no memory.
  static Result<std::unique_ptr<Source>> open(std::string url, HttpLimits limits = {});
  ~HttpSource() override;

  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override;
  Result<uint64_t> size_of(const std::string& object) override;
  [[nodiscard]] bool is_remote() const override { return true; }
  [[nodiscard]] std::string name_of(const std::string& object) const override;
  [[nodiscard]] HttpCounters counters() const;

 private:
  HttpSource(std::string url, std::unique_ptr<HttpLoop> loop);

  const std::string url_;
  const std::unique_ptr<HttpLoop> loop_;
  std::jthread thread_;  // last: it uses what is above
};

}  // namespace ballast
