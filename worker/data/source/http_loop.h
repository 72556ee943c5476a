// HttpLoop: the thread behind an HttpSource. Requests come from any thread; everything else, and
// every callback, happens on the thread that is in run().
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/time.h"
#include "worker/data/source/http_source.h"

using CURL = void;
using CURLM = void;

namespace ballast {

// A range of an object, or only its size.
struct HttpRequest {
  std::string url;
  uint64_t offset = 0;
  std::span<std::byte> into = {};
  uint64_t* size = nullptr;  // not null: the size is asked for
  Source::Done done;
};

class HttpLoop {
 public:
  static Result<std::unique_ptr<HttpLoop>> create(const HttpLimits& limits);
  ~HttpLoop();
  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;

  // Any thread.
  void ask(HttpRequest request);
  void stop();
  [[nodiscard]] HttpCounters counters() const;

  // Until stop(); requests that have not ended then end with kStopped.
  void run();

 private:
  struct Transfer;
  // One request, its attempts so far, and the transfers that are at it: the first, and perhaps the
  // one beside it.
  struct Task {
    HttpRequest request;
    Time asked;
    Time due;  // not before
    uint32_t attempts = 0;
    bool hedged = false;
    std::list<std::unique_ptr<Transfer>> transfers;
  };
  // What is known of an object since its first answer.
  struct Pin {
    std::string etag;  // empty: the server gives none
  };

  explicit HttpLoop(const HttpLimits& limits, CURLM* multi);

  void take_asked();
  void start_due(Time now);
  void start_transfer(Task& task, bool beside);
  void hedge_slow(Time now);
  void read_results(Time now);
  void on_result(Transfer& transfer, int result, Time now);
  void succeed(Task& task, Transfer& winner, Time now);
  void fail_attempt(Task& task, Transfer& transfer, Status why, bool may_pass, Time now);
  void drop_transfers(Task& task);
  void end(Task& task, Status status);
  [[nodiscard]] Duration until_next(Time now) const;
  [[nodiscard]] std::optional<Duration> slow_after() const;
  [[nodiscard]] size_t under_way() const;

  const HttpLimits limits_;
  CURLM* const multi_;
  std::list<Task> tasks_;
  std::map<std::string, Pin> pins_;  // by url
  std::deque<Duration> last_taken_;  // of the last good answers
  double reads_at_once_ = 8;
  uint64_t hedged_bytes_ = 0;
  Random random_;

  mutable std::mutex mutex_;  // guards all below
  std::vector<HttpRequest> asked_;
  HttpCounters counters_;
  bool stopping_ = false;
};

}  // namespace ballast
