#include "worker/device_trace.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace ballast {

DeviceTrace::DeviceTrace(Backend& backend, std::vector<Stream> streams)
    : backend_(backend), streams_(std::move(streams)), base_(backend.create_timed_event()) {
  BALLAST_CHECK(!streams_.empty());
}

EventId DeviceTrace::record(StreamId stream) {
  if (events_used_ == events_.size()) events_.push_back(backend_.create_timed_event());
  const EventId event = events_[events_used_++];
  backend_.record(event, stream);
  return event;
}

bool DeviceTrace::parts_done() {
  return std::ranges::all_of(
      parts_, [&](const Record& part) { return backend_.synchronize(part.end).ok(); });
}

TraceTrack& DeviceTrace::track_of(StreamId stream) {
  const auto found = std::ranges::find(streams_, stream, &Stream::id);
  BALLAST_CHECK(found != streams_.end());
  return found->track;
}

// What streams do from now on has times.
void DeviceTrace::begin_time() {
  backend_.record(base_, streams_.front().id);
  for (const Stream& stream : streams_) backend_.wait(stream.id, base_);
  (void)backend_.synchronize(base_);  // a device that failed tells nothing
  based_ = monotonic_now();
}

void DeviceTrace::forget_parts() {
  parts_.clear();
  events_used_ = 0;
}

bool DeviceTrace::takes(Of pass) const {
  if (pass == Of::kThisPass || in_pass_) return in_pass_;
  return told_last_ && parts_.size() < kPartsKept;
}

// A device that failed tells nothing: the step reports it.
void DeviceTrace::tell() {
  if (!parts_done()) return;
  for (const Record& part : parts_) {
    const Time begin = based_ + backend_.between(base_, part.begin);
    const Time end = based_ + backend_.between(base_, part.end);
    const TraceArg layer = part.layer == kNoLayer ? TraceArg() : TraceArg{"layer", part.layer};
    track_of(part.stream).add(part.name, begin, end, step_, {"lane", lane_.value()}, layer);
  }
}

DeviceTrace::Pass::Pass(DeviceTrace* trace, uint64_t step, LaneId lane)
    : trace_(trace != nullptr && trace->streams_.front().track.wants(step) ? trace : nullptr) {
  if (trace != nullptr) trace->told_last_ = trace_ != nullptr;
  if (trace_ == nullptr) {
    if (trace != nullptr) trace->forget_parts();
    return;
  }
  trace_->in_pass_ = true;
  trace_->step_ = step;
  trace_->lane_ = lane;
  trace_->backend_.begin_range("step", step);
  if (trace_->parts_.empty()) trace_->begin_time();
}

DeviceTrace::Pass::~Pass() {
  if (trace_ == nullptr) return;
  trace_->backend_.end_range();
  trace_->in_pass_ = false;
  trace_->tell();
  trace_->forget_parts();
}

DeviceTrace::Part::Part(DeviceTrace* trace, StreamId stream, const char* name, uint32_t layer,
                        Of pass)
    : trace_(trace != nullptr && trace->takes(pass) ? trace : nullptr) {
  if (trace_ == nullptr) return;
  if (!trace_->in_pass_ && trace_->parts_.empty()) trace_->begin_time();
  index_ = trace_->parts_.size();
  trace_->backend_.begin_range(name, layer == kNoLayer ? trace_->step_ : layer);
  trace_->parts_.push_back({stream, name, layer, trace_->record(stream), {}});
}

DeviceTrace::Part::~Part() {
  if (trace_ == nullptr) return;
  Record& part = trace_->parts_[index_];
  part.end = trace_->record(part.stream);
  trace_->backend_.end_range();
}

}  // namespace ballast
