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
  if (trace_ == nullptr) return;
  trace_->in_pass_ = true;
  trace_->step_ = step;
  trace_->lane_ = lane;
  trace_->parts_.clear();
  trace_->events_used_ = 0;
  trace_->backend_.begin_range("step", step);
  trace_->backend_.record(trace_->base_, trace_->streams_.front().id);
  for (const Stream& stream : trace_->streams_) trace_->backend_.wait(stream.id, trace_->base_);
  (void)trace_->backend_.synchronize(trace_->base_);  // a device that failed tells nothing
  trace_->based_ = monotonic_now();
}

DeviceTrace::Pass::~Pass() {
  if (trace_ == nullptr) return;
  trace_->backend_.end_range();
  trace_->in_pass_ = false;
  trace_->tell();
}

DeviceTrace::Part::Part(DeviceTrace* trace, StreamId stream, const char* name, uint32_t layer)
    : trace_(trace != nullptr && trace->in_pass_ ? trace : nullptr) {
  if (trace_ == nullptr) return;
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
