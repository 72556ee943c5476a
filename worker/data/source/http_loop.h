// HttpLoop: the thread behind an HttpSource. Requests come from any thread; everything else, and
// every callback, happens on the thread that is in run().
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/time.h"
#include "worker/data/source/http_settings.h"
#include "worker/data/source/http_transfer.h"
#include "worker/data/source/read_pace.h"

using CURLM = void;

namespace ballast {

// One request, its attempts so far, and the transfers that are at it: the first, and perhaps the
// one beside it.
struct HttpTask {
  HttpRequest request;
  std::optional<Time> begun;  // the first attempt
  Time got_on{};              // then, and whenever an attempt has kProgressBytes more than ever
  uint64_t furthest = 0;      // bytes, at got_on
  uint32_t attempts = 0;      // that failed
  Status trouble = {};        // of the last of them
  bool hedged = false;
  bool fresh = false;  // the last connection was slow or broke
  std::list<std::unique_ptr<HttpTransfer>> transfers;
};

class HttpLoop {
 public:
  // kExhausted: libcurl has no memory.
  static Result<std::unique_ptr<HttpLoop>> create(const HttpAccess& access, HttpDialect dialect,
                                                  const HttpLimits& limits);
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
  using TaskPointer = std::unique_ptr<HttpTask>;
  using TasksByTime = std::multimap<Time, TaskPointer>;  // equal times in their order

  HttpLoop(const HttpAccess& access, HttpDialect dialect, const HttpLimits& limits, CURLM* multi);

  void take_asked();
  static TaskPointer take_first(TasksByTime& tasks);
  [[nodiscard]] TaskPointer take_due(Time now);
  void start_due(Time now);
  void start_transfer(HttpTask& task, bool beside, Time now);
  void hedge_slow(Time now);
  [[nodiscard]] bool may_hedge(const HttpTask& task) const;
  void note_progress(Time now);
  void end_overdue(Time now);
  [[nodiscard]] HttpTransfer* find_overdue(Time now) const;
  [[nodiscard]] Time due_by(const HttpTransfer& transfer) const;
  void expire(TasksByTime& tasks, Time now);
  void read_results(Time now);
  void on_result(HttpTransfer& transfer, int result, Time now);
  void succeed(HttpTask& task, HttpTransfer& winner, Time now);
  void fail_attempt(HttpTask& task, HttpTransfer& transfer, HttpVerdict verdict, Time now);
  [[nodiscard]] Duration pause_of(const HttpTask& task, Duration asked, Time now);
  [[nodiscard]] Duration deadline() const;
  void say_slow(Time now);
  void say(const HttpTask& task, Time now);
  void drop_transfers(HttpTask& task);
  [[nodiscard]] TaskPointer take_active(HttpTask& task);
  void end(TaskPointer task, Status status);
  [[nodiscard]] Duration until_next(Time now) const;

  const HttpAccess access_;
  const HttpDialect dialect_;
  const HttpLimits limits_;
  CURLM* const multi_;
  // Not begun, by when they were asked for, and after a failed attempt, by when they are due: those
  // go first, since whoever asked for them is the next to wait.
  TasksByTime waiting_;
  TasksByTime resting_;
  std::list<TaskPointer> active_;        // at most reads_most
  size_t transfers_ = 0;                 // of all active ones
  size_t hedges_ = 0;                    // of them, beside another
  std::map<std::string, HttpPin> pins_;  // by url
  ReadPace pace_;
  bool reached_ = false;  // somebody has answered, with whatever
  Time last_got_on_;      // any read
  Time last_said_;
  Status last_trouble_;
  uint64_t hedged_bytes_ = 0;
  uint64_t largest_read_ = 0;
  Random random_;

  mutable std::mutex mutex_;  // guards all below
  std::vector<HttpRequest> asked_;
  HttpCounters counters_;
  bool stopping_ = false;
};

}  // namespace ballast
