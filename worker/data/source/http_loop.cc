#include "worker/data/source/http_loop.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/check.h"

namespace ballast {
namespace {

constexpr size_t kTakenKept = 128;
constexpr size_t kTakenLeast = 20;      // fewer say nothing about the slowest
constexpr double kHedgeShare = 0.05;    // of all bytes
constexpr Duration kHedgeLeast = 20ms;  // a read quicker than this is not worth a second
constexpr Duration kPauseUnit = 100ms;
constexpr size_t kAnswerTextMax = 200;

long milliseconds(Duration duration) {
  return std::max<long>(1, std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// "bytes 10-19/100" -> 100.
std::optional<uint64_t> total_of(std::string_view content_range) {
  const size_t slash = content_range.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view text = content_range.substr(slash + 1);
  uint64_t total = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), total);
  return error == std::errc() ? std::optional(total) : std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text;
}

bool passes_with_time(long answer) {
  return answer == 408 || answer == 429 || answer >= 500;
}

}  // namespace

// One attempt on one connection.
struct HttpLoop::Transfer {
  Transfer(Task& of, CURL* handle) : task(of), easy(handle) {}
  ~Transfer() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
  }

  static size_t on_body(char* data, size_t size, size_t count, void* self);
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  [[nodiscard]] long answer() const {
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }

  Task& task;
  CURL* const easy;
  curl_slist* headers = nullptr;
  Time started;
  std::span<std::byte> out;  // the request's, or `own`
  Buffer own;                // of one that runs beside another
  size_t filled = 0;
  bool too_long = false;
  std::string text;  // of an answer that is no data
  std::string etag;
  std::optional<uint64_t> total;  // Content-Range
  char error[CURL_ERROR_SIZE] = {};
};

size_t HttpLoop::Transfer::on_body(char* data, size_t size, size_t count, void* self) {
  auto& it = *static_cast<Transfer*>(self);
  const size_t bytes = size * count;
  const long answer = it.answer();
  if (answer != 200 && answer != 206) {
    it.text.append(data,
                   std::min(bytes, kAnswerTextMax - std::min(kAnswerTextMax, it.text.size())));
    return bytes;
  }
  if (bytes > it.out.size() - it.filled) {
    it.too_long = true;
    return 0;  // ends the transfer
  }
  std::memcpy(it.out.data() + it.filled, data, bytes);
  it.filled += bytes;
  return bytes;
}

size_t HttpLoop::Transfer::on_header(char* data, size_t size, size_t count, void* self) {
  auto& it = *static_cast<Transfer*>(self);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // of the last answer, behind redirections
    it.etag.clear();
    it.total.reset();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "etag" && !value.starts_with("W/")) it.etag = value;
  if (name == "content-range") it.total = total_of(value);
  return line.size();
}

// ---------------------------------------------------------------- life

Result<std::unique_ptr<HttpLoop>> HttpLoop::create(const HttpLimits& limits) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);  // once a process
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) return Status(Code::kExhausted, "libcurl cannot begin: no memory");
  return std::unique_ptr<HttpLoop>(new HttpLoop(limits, multi));
}

HttpLoop::HttpLoop(const HttpLimits& limits, CURLM* multi)
    : limits_(limits), multi_(multi), random_(reinterpret_cast<uintptr_t>(multi)) {}

HttpLoop::~HttpLoop() {
  for (Task& task : tasks_) drop_transfers(task);
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
    read_results(monotonic_now());
    hedge_slow(monotonic_now());
    const Duration pause = until_next(monotonic_now());
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(milliseconds(pause)), nullptr);
  }
  for (take_asked(); !tasks_.empty(); take_asked()) {
    end(tasks_.front(), Status(Code::kStopped, "the loader ends"));
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
    Task& task = tasks_.emplace_back();
    task.request = std::move(request);
    task.asked = task.due = now;
  }
}

// How long nothing happens unless the network says so.
Duration HttpLoop::until_next(Time now) const {
  constexpr Duration kMost = 1s;
  Time next = now + kMost;
  const std::optional<Duration> slow = slow_after();
  const bool room = static_cast<double>(under_way()) < reads_at_once_;
  for (const Task& task : tasks_) {
    if (task.transfers.empty()) {
      if (room) next = std::min(next, task.due);
    } else if (slow && !task.hedged) {
      next = std::min(next, task.transfers.front()->started + *slow);
    }
  }
  return std::max<Duration>(next - now, 1ms);
}

// ---------------------------------------------------------------- beginning

size_t HttpLoop::under_way() const {
  size_t count = 0;
  for (const Task& task : tasks_) count += task.transfers.size();
  return count;
}

void HttpLoop::start_due(Time now) {
  double free = reads_at_once_ - static_cast<double>(under_way());
  for (Task& task : tasks_) {
    if (free < 1) return;
    if (!task.transfers.empty() || task.due > now) continue;
    start_transfer(task, false);
    --free;
  }
}

void HttpLoop::start_transfer(Task& task, bool beside) {
  CURL* easy = curl_easy_init();
  BALLAST_CHECK(easy != nullptr);
  auto transfer = std::make_unique<Transfer>(task, easy);
  const HttpRequest& request = task.request;
  transfer->started = monotonic_now();
  transfer->out = request.into;
  if (beside) {
    transfer->own = Buffer::allocate(request.into.size());
    transfer->out = transfer->own.bytes();
  }
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer.get());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "ballast");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(limits_.connect));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                   std::max<long>(1, static_cast<long>(to_seconds(limits_.stall))));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, Transfer::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, Transfer::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
  // A connection that was slow or broke is not used again.
  if (beside || task.attempts > 0) curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  const auto pin = pins_.find(request.url);
  if (pin != pins_.end() && !pin->second.etag.empty()) {
    transfer->headers =
        curl_slist_append(transfer->headers, ("If-Match: " + pin->second.etag).c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
  }
  if (request.size != nullptr) {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else {
    const std::string range =
        fmt::format("{}-{}", request.offset, request.offset + request.into.size() - 1);
    curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
  }
  curl_multi_add_handle(multi_, easy);
  task.transfers.push_back(std::move(transfer));
  std::lock_guard lock(mutex_);
  ++counters_.requests;
}

// 95 of 100 of the last reads were quicker.
std::optional<Duration> HttpLoop::slow_after() const {
  if (last_taken_.size() < kTakenLeast) return std::nullopt;
  std::vector<Duration> sorted(last_taken_.begin(), last_taken_.end());
  const auto place = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() * 95 / 100);
  std::nth_element(sorted.begin(), place, sorted.end());
  return std::max(*place, kHedgeLeast);
}

void HttpLoop::hedge_slow(Time now) {
  const std::optional<Duration> slow = slow_after();
  if (!slow) return;
  for (Task& task : tasks_) {
    if (task.transfers.size() != 1 || task.hedged || task.request.size != nullptr) continue;
    if (now - task.transfers.front()->started < *slow) continue;
    const uint64_t bytes = task.request.into.size();
    {
      std::lock_guard lock(mutex_);
      if (static_cast<double>(hedged_bytes_ + bytes) >
          kHedgeShare * static_cast<double>(counters_.bytes)) {
        return;
      }
      ++counters_.hedges;
    }
    hedged_bytes_ += bytes;
    task.hedged = true;
    start_transfer(task, true);
  }
}

// ---------------------------------------------------------------- ending

void HttpLoop::read_results(Time now) {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    on_result(*transfer, message->data.result, now);
  }
}

void HttpLoop::on_result(Transfer& transfer, int result, Time now) {
  Task& task = transfer.task;
  const HttpRequest& request = task.request;
  const std::string at = request.size != nullptr
                             ? fmt::format("size of {}", request.url)
                             : fmt::format("read {} at byte {}", request.url, request.offset);
  const auto fails = [&](Code code, const std::string& what, bool may_pass) {
    fail_attempt(task, transfer, Status(code, at + ": " + what), may_pass, now);
  };
  const long answer = transfer.answer();
  if (transfer.too_long) {
    return fails(Code::kUnavailable,
                 fmt::format("{} bytes asked for, more sent: the server does not read ranges",
                             request.into.size()),
                 false);
  }
  if (answer == 404 || answer == 410) return fails(Code::kNotFound, "there is none", false);
  if (answer == 401 || answer == 403) {
    return fails(Code::kInvalidInput, fmt::format("the server refuses it (HTTP {})", answer),
                 false);
  }
  if (answer == 412) {
    return fails(Code::kDataLoss, "it was replaced while it was being read", false);
  }
  if (answer == 416) return fails(Code::kDataLoss, "it ends before", false);
  if (answer != 0 && answer != 200 && answer != 206) {
    const std::string said(trimmed(transfer.text));
    return fails(Code::kUnavailable,
                 fmt::format("HTTP {}{}{}", answer, said.empty() ? "" : ": ", said),
                 passes_with_time(answer));
  }
  if (result != CURLE_OK) {
    const auto code = static_cast<CURLcode>(result);
    const char* what = transfer.error[0] != '\0' ? transfer.error : curl_easy_strerror(code);
    const bool hopeless = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                          code == CURLE_PEER_FAILED_VERIFICATION ||
                          code == CURLE_TOO_MANY_REDIRECTS;
    return fails(hopeless ? Code::kInvalidInput : Code::kUnavailable, what, !hopeless);
  }
  if (request.size == nullptr && transfer.filled != request.into.size()) {
    // A server that says how long the object is, and that it ends here, is believed.
    const bool ends = transfer.total && *transfer.total < request.offset + request.into.size();
    return fails(ends ? Code::kDataLoss : Code::kUnavailable,
                 fmt::format("{} bytes expected, {} found", request.into.size(), transfer.filled),
                 !ends);
  }
  if (request.size == nullptr && answer == 200 && request.offset > 0) {
    return fails(Code::kUnavailable, "the server does not read ranges", false);
  }
  succeed(task, transfer, now);
}

void HttpLoop::succeed(Task& task, Transfer& winner, Time now) {
  Pin& pin = pins_[task.request.url];
  if (pin.etag.empty()) pin.etag = winner.etag;
  if (task.request.size != nullptr) {
    curl_off_t length = -1;
    curl_easy_getinfo(winner.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length < 0) {
      return fail_attempt(
          task, winner,
          Status(Code::kUnavailable,
                 fmt::format("size of {}: the server does not say", task.request.url)),
          false, now);
    }
    *task.request.size = static_cast<uint64_t>(length);
  } else {
    last_taken_.push_back(now - winner.started);
    if (last_taken_.size() > kTakenKept) last_taken_.pop_front();
  }
  reads_at_once_ = std::min<double>(reads_at_once_ + 1 / reads_at_once_, limits_.reads_most);
  const bool beside = !winner.own.empty();
  const Buffer own = std::move(winner.own);
  {
    std::lock_guard lock(mutex_);
    counters_.bytes += task.request.into.size();
    counters_.hedges_won += beside ? 1 : 0;
  }
  drop_transfers(task);  // the other one no longer writes into the request's memory
  if (beside) std::memcpy(task.request.into.data(), own.data(), own.size());
  end(task, Status());
}

void HttpLoop::fail_attempt(Task& task, Transfer& transfer, Status why, bool may_pass, Time now) {
  curl_multi_remove_handle(multi_, transfer.easy);
  std::erase_if(task.transfers, [&](const auto& each) { return each.get() == &transfer; });
  if (!may_pass) {
    drop_transfers(task);
    return end(task, std::move(why));
  }
  reads_at_once_ = std::max(1.0, reads_at_once_ / 2);
  if (!task.transfers.empty()) return;  // the other one is still at it
  ++task.attempts;
  const Duration most = std::min<Duration>(
      kPauseUnit * (int64_t{1} << std::min<uint32_t>(task.attempts, 20)), limits_.pause_most);
  task.due = now + from_seconds(random_.uniform() * to_seconds(most));
  task.hedged = false;
  if (task.due - task.asked > limits_.deadline) {
    return end(task, std::move(why).because(fmt::format(
                         "{} attempts in {:.0f} s: is the server up, and the address right?",
                         task.attempts, to_seconds(now - task.asked))));
  }
  std::lock_guard lock(mutex_);
  ++counters_.retries;
}

void HttpLoop::drop_transfers(Task& task) {
  for (const auto& transfer : task.transfers) curl_multi_remove_handle(multi_, transfer->easy);
  task.transfers.clear();
}

void HttpLoop::end(Task& task, Status status) {
  drop_transfers(task);
  const Source::Done done = std::move(task.request.done);
  tasks_.remove_if([&](const Task& each) { return &each == &task; });
  done(std::move(status));
}

}  // namespace ballast
