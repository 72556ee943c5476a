// Trace: what a process did when, as spans in a file, for `ballast run --trace`. Who measures is
// given a TraceTrack, or null: then a span is one branch. The launcher joins the files of all
// processes into one that trace viewers read (launch/ballast_launcher/trace.py).
//
// The file is one JSON object a line, and whole up to the last flush whatever becomes of the
// process. The first line says whose it is and what its clock means:
//   {"role":"worker","index":0,"host":"a","process":71,"clock":"<boot id>","monotonic_ns":9,
//    "wall_ns":8,"first_step":0,"steps":1000}
// then, in no order, {"track":1,"name":"compute"} and spans with monotonic times:
//   {"track":1,"name":"load","begin":1000,"end":2500,"args":{"step":3,"lane":0}}
// where an "id" marks one that may overlap others of its track. The last line, of a process that
// ended by itself: {"last_step":4199}, and "full_at_step" if the file reached its limit.
// One that could not be written has no such line.
//
// Bounded: a track keeps kSpansKept spans, a file `bytes_max`. A file that cannot be written is one
// warning and the end of the trace, not of the job.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/base/time.h"

namespace ballast {

struct TraceSetup {
  std::string path;
  std::string role;
  uint32_t index = 0;
  // Traced are `steps` steps from `first_step` on, or from the first that this process does, if
  // that is later: a resumed job goes on in the middle.
  uint64_t first_step = 0;
  uint64_t steps = 1000;
  uint64_t bytes_max = 64 << 20;  // of the file: about half a million spans
};

// Any thread.
class Trace {
 public:
  // Replaces the file. kUnavailable: it cannot be written.
  [[nodiscard]] static Result<std::unique_ptr<Trace>> open(TraceSetup setup);
  // The tracks are gone by then.
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Whether spans of this step are kept. Also how the trace hears which steps there are.
  [[nodiscard]] bool wants(uint64_t step);

 private:
  friend class TraceTrack;
  Trace(TraceSetup setup, int file);
  void write_head();
  // Whole lines, in one call of the system: lines of several threads do not mix. `step`: of the
  // last of them.
  void write(std::string_view lines, uint64_t step);

  const TraceSetup setup_;
  const int file_;
  std::atomic<uint32_t> tracks_{0};
  std::atomic<uint64_t> first_;      // that is wanted; kNoStep: nobody asked yet
  std::atomic<uint64_t> last_step_;  // the highest asked for; kNoStep: none yet
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> full_at_;   // the step at which bytes_max was reached; kNoStep: not
  std::atomic<bool> ended_{false};  // full, or cannot be written
};

// A number beside a span. `name` is a literal.
struct TraceArg {
  const char* name = nullptr;
  uint64_t value = 0;
};

// The spans of one thread, or of a device. Owner thread: one.
class TraceTrack {
 public:
  // `trace` outlives the track.
  TraceTrack(Trace& trace, std::string_view name);
  ~TraceTrack();
  TraceTrack(const TraceTrack&) = delete;
  TraceTrack& operator=(const TraceTrack&) = delete;

  [[nodiscard]] bool wants(uint64_t step) { return trace_.wants(step); }

  // All of a step that is wanted. `name` is a literal. Spans of a track nest.
  void add(const char* name, Time begin, Time end, uint64_t step, TraceArg a = {}, TraceArg b = {},
           TraceArg c = {});
  // The same of what may overlap others of the track: requests on their way.
  void add_overlapping(const char* name, Time begin, Time end, uint64_t step, TraceArg a = {},
                       TraceArg b = {}, TraceArg c = {}, TraceArg d = {}, TraceArg e = {});

  // To the file, as lines. The owner calls it where nobody waits for it.
  void flush();
  // Only if spans have waited for a while.
  void flush_when_due(Time now);

 private:
  struct Span {
    const char* name;
    Time begin;
    Time end;
    uint64_t step;
    uint64_t id;  // 0: does not overlap
    TraceArg args[5];
  };
  void append(const Span& span);

  Trace& trace_;
  const uint32_t number_;
  uint64_t last_id_ = 0;
  std::vector<Span> spans_;  // not written yet
  fmt::memory_buffer text_;  // kept for its memory
};

// From its making to its end. `track` may be null; outlives the span otherwise.
class TraceSpan {
 public:
  TraceSpan(TraceTrack* track, const char* name, uint64_t step, TraceArg a = {}, TraceArg b = {})
      : track_(track != nullptr && track->wants(step) ? track : nullptr) {
    if (track_ == nullptr) return;
    name_ = name;
    step_ = step;
    a_ = a;
    b_ = b;
    begin_ = monotonic_now();
  }
  ~TraceSpan() {
    if (track_ != nullptr) track_->add(name_, begin_, monotonic_now(), step_, a_, b_);
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  TraceTrack* const track_;
  const char* name_ = nullptr;
  uint64_t step_ = 0;
  TraceArg a_;
  TraceArg b_;
  Time begin_{};
};

}  // namespace ballast
