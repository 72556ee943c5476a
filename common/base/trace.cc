#include "common/base/trace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "common/base/json_writer.h"
#include "common/base/log.h"
#include "common/base/process.h"

namespace ballast {
namespace {

constexpr uint64_t kNoStep = ~uint64_t{0};
constexpr size_t kSpansKept = 1024;   // of a track: a step of some hundred layers
constexpr Duration kKeptFor = 200ms;  // what a kill -9 costs at most, while steps are short

// Two processes with the same one have the same monotonic clock.
std::string clock_name() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string name;
  std::getline(file, name);
  return name.empty() ? host_name() : name;
}

int64_t nanoseconds(Time time) {
  return time.time_since_epoch().count();
}

// Keeps the highest; kNoStep is none.
void raise(std::atomic<uint64_t>& highest, uint64_t step) {
  uint64_t known = highest.load(std::memory_order_relaxed);
  while ((known == kNoStep || known < step) &&
         !highest.compare_exchange_weak(known, step, std::memory_order_relaxed)) {
  }
}

}  // namespace

Result<std::unique_ptr<Trace>> Trace::open(TraceSetup setup) {
  const int file =
      ::open(setup.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) {
    return Status(Code::kUnavailable, fmt::format("cannot create {}: {}; check its permissions and "
                                                  "free space, or leave out --trace",
                                                  setup.path, std::strerror(errno)));
  }
  std::unique_ptr<Trace> trace(new Trace(std::move(setup), file));
  trace->write_head();
  return trace;
}

Trace::Trace(TraceSetup setup, int file)
    : setup_(std::move(setup)),
      file_(file),
      first_(kNoStep),
      last_step_(kNoStep),
      full_at_(kNoStep) {}

// A trace that could not be written does not say how it ended: it is not whole.
Trace::~Trace() {
  const uint64_t last = last_step_, full_at = full_at_;
  if (ended_ && full_at == kNoStep) {
    ::close(file_);
    return;
  }
  JsonWriter json;
  json.open().key("last_step");
  last == kNoStep ? json.value(-1) : json.value(last);
  if (full_at != kNoStep) json.key("full_at_step").value(full_at);
  json.close();
  const std::string line = json.text() + "\n";
  // Beyond bytes_max too: it says that there was a limit.
  [[maybe_unused]] const ssize_t written = ::write(file_, line.data(), line.size());
  ::close(file_);
}

void Trace::write_head() {
  JsonWriter json;
  json.open().key("role").value(setup_.role).key("index").value(setup_.index);
  json.key("host").value(host_name()).key("process").value(::getpid());
  json.key("clock").value(clock_name());
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  json.key("monotonic_ns").value(nanoseconds(monotonic_now()));
  json.key("wall_ns").value(std::chrono::duration_cast<Duration>(wall).count());
  json.key("first_step").value(setup_.first_step).key("steps").value(setup_.steps).close();
  write(json.text() + "\n", 0);
}

bool Trace::wants(uint64_t step) {
  if (step == kNoStep) return false;
  if (last_step_.load(std::memory_order_relaxed) != step) raise(last_step_, step);
  if (ended_.load(std::memory_order_relaxed)) return false;
  uint64_t first = first_.load(std::memory_order_relaxed);
  if (first == kNoStep) {
    const uint64_t here = std::max(step, setup_.first_step);
    if (first_.compare_exchange_strong(first, here)) first = here;
  }
  return step >= first && step - first < setup_.steps;
}

void Trace::write(std::string_view lines, uint64_t step) {
  if (ended_.load(std::memory_order_relaxed)) return;
  if (bytes_.fetch_add(lines.size()) + lines.size() > setup_.bytes_max) {
    if (!ended_.exchange(true)) {
      full_at_ = step;
      log::warn("the trace ends at step {}: {} has reached its limit of {} MiB", step, setup_.path,
                setup_.bytes_max >> 20);
    }
    return;
  }
  ssize_t written = 0;
  do {
    written = ::write(file_, lines.data(), lines.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(lines.size()) || ended_.exchange(true)) return;
  log::warn("the trace ends at step {}: cannot write {}: {}; the job goes on", step, setup_.path,
            written < 0 ? std::strerror(errno) : "no space left");
}

// ---------------------------------------------------------------- tracks

TraceTrack::TraceTrack(Trace& trace, std::string_view name)
    : trace_(trace), number_(++trace.tracks_) {
  spans_.reserve(kSpansKept);
  JsonWriter json;
  json.open().key("track").value(number_).key("name").value(name).close();
  trace_.write(json.text() + "\n", 0);
}

TraceTrack::~TraceTrack() {
  flush();
}

void TraceTrack::add(const char* name, Time begin, Time end, uint64_t step, TraceArg a, TraceArg b,
                     TraceArg c) {
  append({name, begin, end, step, 0, {a, b, c}});
}

void TraceTrack::add_overlapping(const char* name, Time begin, Time end, uint64_t step, TraceArg a,
                                 TraceArg b, TraceArg c, TraceArg d, TraceArg e) {
  append({name, begin, end, step, ++last_id_, {a, b, c, d, e}});
}

void TraceTrack::append(const Span& span) {
  if (spans_.size() == kSpansKept) flush();
  spans_.push_back(span);
}

void TraceTrack::flush() {
  if (spans_.empty()) return;
  text_.clear();
  const auto out = fmt::appender(text_);
  for (const Span& span : spans_) {
    fmt::format_to(out, R"({{"track":{},"name":"{}","begin":{},"end":{},)", number_, span.name,
                   nanoseconds(span.begin), nanoseconds(span.end));
    if (span.id > 0) fmt::format_to(out, R"("id":{},)", span.id);
    fmt::format_to(out, R"("args":{{"step":{})", span.step);
    for (const TraceArg& arg : span.args) {
      if (arg.name != nullptr) fmt::format_to(out, R"(,"{}":{})", arg.name, arg.value);
    }
    text_.append(std::string_view("}}\n"));
  }
  trace_.write({text_.data(), text_.size()}, spans_.back().step);
  spans_.clear();
}

void TraceTrack::flush_when_due(Time now) {
  if (!spans_.empty() && now - spans_.front().end >= kKeptFor) flush();
}

}  // namespace ballast
