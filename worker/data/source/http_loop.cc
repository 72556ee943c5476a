#include "worker/data/source/http_loop.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/log.h"

namespace ballast {
namespace {

constexpr double kHedgeShare = 0.05;  // of all bytes
constexpr size_t kHedgesMost = 2;     // at a time: each has memory of its own
constexpr Duration kPatience = 3s;    // what a read takes without a word about it
constexpr Duration kSayEvery = 5s;

int milliseconds(Duration duration) {
  return static_cast<int>(std::max<int64_t>(
      1, std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()));
}

// Another one in each process and each loop: pauses must not fall together.
uint64_t jitter_seed(const void* self) {
  return hash_numbers({static_cast<uint64_t>(monotonic_now().time_since_epoch().count()),
                       static_cast<uint64_t>(::getpid()), reinterpret_cast<uintptr_t>(self)});
}

}  // namespace

// ---------------------------------------------------------------- life

Result<std::unique_ptr<HttpLoop>> HttpLoop::create(const HttpAccess& access, HttpDialect dialect,
                                                   const HttpLimits& limits) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);  // once a process
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) return Status(Code::kExhausted, "libcurl cannot begin: no memory");
  // By itself libcurl closes connections when fewer reads are under way.
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(limits.reads_most));
  return std::unique_ptr<HttpLoop>(new HttpLoop(access, std::move(dialect), limits, multi));
}

HttpLoop::HttpLoop(const HttpAccess& access, HttpDialect dialect, const HttpLimits& limits,
                   CURLM* multi)
    : access_(access),
      dialect_(std::move(dialect)),
      limits_(limits),
      multi_(multi),
      pace_(limits.reads_most, limits.pause_most),
      random_(jitter_seed(multi)) {}

HttpLoop::~HttpLoop() {
  for (const TaskPointer& task : active_) drop_transfers(*task);
  curl_multi_cleanup(multi_);
}

void HttpLoop::ask(HttpRequest request) {
  {
    std::lock_guard lock(mutex_);
    asked_.push_back(std::move(request));
  }
  curl_multi_wakeup(multi_);
}

void HttpLoop::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_);
}

HttpCounters HttpLoop::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

void HttpLoop::run() {
  for (;;) {
    take_asked();
    {
      std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    start_due(monotonic_now());
    int running = 0;
    curl_multi_perform(multi_, &running);
    note_progress(monotonic_now());
    read_results(monotonic_now());
    end_overdue(monotonic_now());
    hedge_slow(monotonic_now());
    say_slow(monotonic_now());
    expire(waiting_, monotonic_now());
    expire(resting_, monotonic_now());
    start_due(monotonic_now());
    curl_multi_poll(multi_, nullptr, 0, milliseconds(until_next(monotonic_now())), nullptr);
  }
  const Status stopped(Code::kStopped, "the loader ends");
  for (take_asked(); !waiting_.empty() || !resting_.empty() || !active_.empty(); take_asked()) {
    if (!active_.empty()) {
      end(take_active(*active_.front()), stopped);
    } else {
      end(take_first(waiting_.empty() ? resting_ : waiting_), stopped);
    }
  }
}

void HttpLoop::take_asked() {
  std::vector<HttpRequest> asked;
  {
    std::lock_guard lock(mutex_);
    asked.swap(asked_);
  }
  const Time now = monotonic_now();
  for (HttpRequest& request : asked) {
    auto task = std::make_unique<HttpTask>();
    task->request = std::move(request);
    if (task->request.size == nullptr && task->request.into.empty()) {
      end(std::move(task), Status());
    } else {
      waiting_.emplace(now, std::move(task));
    }
  }
}

// How long nothing happens unless the network says so.
Duration HttpLoop::until_next(Time now) const {
  constexpr Duration kMost = 1s;
  Time next = now + kMost;
  for (const TasksByTime* tasks : {&waiting_, &resting_}) {
    if (!pace_.has_room(transfers_) || tasks->empty()) continue;
    next = std::min(next, tasks->begin()->first);
  }
  const std::optional<Duration> slow = pace_.slow_after();
  for (const TaskPointer& task : active_) {
    if (slow && may_hedge(*task)) next = std::min(next, task->transfers.front()->started() + *slow);
    for (const auto& transfer : task->transfers) next = std::min(next, due_by(*transfer));
  }
  return std::max<Duration>(next - now, 1ms);
}

// ---------------------------------------------------------------- beginning

HttpLoop::TaskPointer HttpLoop::take_first(TasksByTime& tasks) {
  TaskPointer task = std::move(tasks.begin()->second);
  tasks.erase(tasks.begin());
  return task;
}

// Null: none is due.
HttpLoop::TaskPointer HttpLoop::take_due(Time now) {
  for (TasksByTime* tasks : {&resting_, &waiting_}) {
    if (!tasks->empty() && tasks->begin()->first <= now) return take_first(*tasks);
  }
  return nullptr;
}

void HttpLoop::start_due(Time now) {
  while (pace_.has_room(transfers_)) {
    TaskPointer task = take_due(now);
    if (task == nullptr) return;
    active_.push_back(std::move(task));
    start_transfer(*active_.back(), false, now);
  }
}

void HttpLoop::start_transfer(HttpTask& task, bool beside, Time now) {
  if (!task.begun) task.begun = task.got_on = now;
  const auto pin = pins_.find(task.request.url);
  const HttpTransfer::Options options{.limits = limits_,
                                      .access = access_,
                                      .dialect = dialect_,
                                      .beside = beside,
                                      .fresh = beside || task.fresh,
                                      .etag = pin == pins_.end() ? "" : pin->second.etag};
  auto transfer = std::make_unique<HttpTransfer>(task, task.request, options);
  curl_multi_add_handle(multi_, transfer->handle());
  task.transfers.push_back(std::move(transfer));
  ++transfers_;
  hedges_ += beside ? 1 : 0;
  std::lock_guard lock(mutex_);
  ++counters_.requests;
}

bool HttpLoop::may_hedge(const HttpTask& task) const {
  if (task.hedged || task.transfers.empty() || task.request.size != nullptr) return false;
  if (hedges_ >= kHedgesMost) return false;
  std::lock_guard lock(mutex_);
  return static_cast<double>(hedged_bytes_ + task.request.into.size()) <=
         kHedgeShare * static_cast<double>(counters_.bytes);
}

void HttpLoop::hedge_slow(Time now) {
  const std::optional<Duration> slow = pace_.slow_after();
  if (!slow) return;
  for (const TaskPointer& task : active_) {
    if (!may_hedge(*task) || now - task->transfers.front()->started() < *slow) continue;
    hedged_bytes_ += task->request.into.size();
    task->hedged = true;
    start_transfer(*task, true, now);
    std::lock_guard lock(mutex_);
    ++counters_.hedges;
  }
}

void HttpLoop::note_progress(Time now) {
  for (const TaskPointer& task : active_) {
    for (const auto& transfer : task->transfers) {
      if (!transfer->gets_on(now)) continue;
      last_got_on_ = now;
      if (transfer->filled() < task->furthest + kProgressBytes) continue;
      task->furthest = transfer->filled();
      task->got_on = now;
    }
  }
}

// An attempt that catches up with one before it may go on, though the read has not got on.
Time HttpLoop::due_by(const HttpTransfer& transfer) const {
  return std::max(transfer.task().got_on, transfer.got_on()) + limits_.deadline;
}

HttpTransfer* HttpLoop::find_overdue(Time now) const {
  for (const TaskPointer& task : active_) {
    for (const auto& transfer : task->transfers) {
      if (now >= due_by(*transfer)) return transfer.get();
    }
  }
  return nullptr;
}

void HttpLoop::end_overdue(Time now) {
  while (HttpTransfer* overdue = find_overdue(now)) {
    fail_attempt(overdue->task(), *overdue, overdue->judge_overdue(limits_.deadline), now);
  }
}

// Reads that wait for their turn behind a server that gives nothing at all.
void HttpLoop::expire(TasksByTime& tasks, Time now) {
  while (!tasks.empty() && now - tasks.begin()->first > limits_.deadline &&
         now - last_got_on_ > limits_.deadline) {
    TaskPointer task = take_first(tasks);
    const std::string at = task->request.to_string();
    const std::string last = last_trouble_.ok() ? "" : "; the last: " + last_trouble_.to_string();
    end(std::move(task),
        Status(Code::kUnavailable, fmt::format("{}: no read has got on for {:.0f} s{}", at,
                                               to_seconds(limits_.deadline), last)));
  }
}

// ---------------------------------------------------------------- ending

void HttpLoop::read_results(Time now) {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    on_result(*reinterpret_cast<HttpTransfer*>(transfer), message->data.result, now);
  }
}

void HttpLoop::on_result(HttpTransfer& transfer, int result, Time now) {
  HttpTask& task = transfer.task();
  {
    std::lock_guard lock(mutex_);
    counters_.connections += transfer.new_connections();
  }
  const auto pin = pins_.find(task.request.url);
  HttpVerdict verdict = transfer.judge(result, pin == pins_.end() ? nullptr : &pin->second);
  if (!verdict.status.ok()) return fail_attempt(task, transfer, std::move(verdict), now);
  succeed(task, transfer, now);
}

void HttpLoop::succeed(HttpTask& task, HttpTransfer& winner, Time now) {
  const HttpRequest& request = task.request;
  HttpPin& pin = pins_[request.url];
  if (pin.etag.empty()) pin.etag = winner.etag();
  if (!pin.size) pin.size = winner.size();
  if (request.size != nullptr) {
    *request.size = winner.size().value_or(0);
    pace_.on_good(std::nullopt);
  } else {
    // What small reads take says nothing about large ones.
    largest_read_ = std::max<uint64_t>(largest_read_, request.into.size());
    const bool is_large = request.into.size() >= largest_read_ / 2;
    pace_.on_good(is_large ? std::optional(now - winner.started()) : std::nullopt);
  }
  last_got_on_ = now;
  reached_ = true;
  const bool beside = winner.is_beside();
  const Buffer own = winner.own();
  {
    std::lock_guard lock(mutex_);
    counters_.bytes += request.into.size();
    counters_.hedges_won += beside ? 1 : 0;
  }
  TaskPointer ended = take_active(task);
  drop_transfers(*ended);  // the other one no longer writes into the request's memory
  if (beside) std::memcpy(request.into.data(), own.data(), own.size());
  end(std::move(ended), Status());
}

void HttpLoop::fail_attempt(HttpTask& task, HttpTransfer& transfer, HttpVerdict verdict, Time now) {
  if (verdict.overloaded) pace_.on_overload(transfer.started(), now);
  reached_ = reached_ || !verdict.unreached;
  if (!verdict.may_pass) return end(take_active(task), std::move(verdict.status));
  curl_multi_remove_handle(multi_, transfer.handle());
  hedges_ -= transfer.is_beside() ? 1 : 0;
  --transfers_;
  std::erase_if(task.transfers, [&](const auto& each) { return each.get() == &transfer; });
  last_trouble_ = verdict.status;
  if (!task.transfers.empty()) return;  // the other one is still at it
  ++task.attempts;
  task.trouble = verdict.status;
  task.hedged = false;
  task.fresh = verdict.fresh;
  const Time due = now + pause_of(task, verdict.wait, now);
  TaskPointer failed = take_active(task);
  if (due - failed->got_on >= deadline()) {
    const std::string effort = fmt::format(
        "{} {} in {:.0f} s: {}", failed->attempts, failed->attempts == 1 ? "attempt" : "attempts",
        to_seconds(now - *failed->begun),
        verdict.wait > 0s ? "the server has too much to do"
                          : "is the server up, and the address right?");
    return end(std::move(failed), std::move(verdict.status).because(effort));
  }
  resting_.emplace(due, std::move(failed));
  std::lock_guard lock(mutex_);
  ++counters_.retries;
}

// A server may ask for more than there is left: then it is half of that, and asked again in the
// other half. To end at once would make its 120 s fatal; to wait for them would outlast the
// deadline.
Duration HttpLoop::pause_of(const HttpTask& task, Duration asked, Time now) {
  const Duration left = task.got_on + deadline() - now;
  const Duration pause =
      from_seconds(random_.uniform() * to_seconds(pace_.pause_after(task.attempts)));
  return std::max(pause, asked < left ? asked : left / 2);
}

Duration HttpLoop::deadline() const {
  const bool told = reached_ || !access_.first_contact;
  return told ? limits_.deadline : std::min(limits_.deadline, *access_.first_contact);
}

// Of what goes wrong, or of a server that gives nothing; not of reads that only have much to wait
// for.
void HttpLoop::say_slow(Time now) {
  if (now - last_said_ < kSayEvery) return;
  const HttpTask* oldest = nullptr;
  const auto look_at = [&](const HttpTask& task) {
    const bool slow =
        now - *task.begun >= kPatience && (task.attempts > 0 || now - last_got_on_ >= kPatience);
    if (slow && (oldest == nullptr || *task.begun < *oldest->begun)) oldest = &task;
  };
  for (const TaskPointer& task : active_) look_at(*task);
  for (const auto& [due, task] : resting_) look_at(*task);
  if (oldest != nullptr) say(*oldest, now);
}

void HttpLoop::say(const HttpTask& task, Time now) {
  last_said_ = now;
  std::string what = task.trouble.to_string();
  if (task.attempts == 0) {
    const uint64_t filled = task.transfers.front()->filled();
    what = task.request.to_string();
    what += filled == 0 ? ": no answer yet"
                        : fmt::format(": {} of {} bytes yet", filled, task.request.into.size());
  }
  log::warn("{}: {} {} in {:.0f} s, given up after {:.0f} s", what,
            task.attempts + task.transfers.size(),
            task.attempts + task.transfers.size() == 1 ? "attempt" : "attempts",
            to_seconds(now - *task.begun), to_seconds(task.got_on - *task.begun + deadline()));
}

void HttpLoop::drop_transfers(HttpTask& task) {
  for (const auto& transfer : task.transfers) {
    curl_multi_remove_handle(multi_, transfer->handle());
    hedges_ -= transfer->is_beside() ? 1 : 0;
    --transfers_;
  }
  task.transfers.clear();
}

HttpLoop::TaskPointer HttpLoop::take_active(HttpTask& task) {
  const auto found = std::find_if(active_.begin(), active_.end(),
                                  [&](const TaskPointer& each) { return each.get() == &task; });
  BALLAST_CHECK(found != active_.end());
  TaskPointer taken = std::move(*found);
  active_.erase(found);
  return taken;
}

void HttpLoop::end(TaskPointer task, Status status) {
  drop_transfers(*task);
  const Source::Done done = std::move(task->request.done);
  task.reset();
  done(std::move(status));
}

}  // namespace ballast
