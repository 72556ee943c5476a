#include "worker/device_trace.h"

namespace ballast {

DeviceTrace::DeviceTrace(Backend& backend, StreamId stream, TraceTrack& track)
    : backend_(backend), stream_(stream), track_(track), base_(backend.create_timed_event()) {}

EventId DeviceTrace::record() {
  if (events_used_ == events_.size()) events_.push_back(backend_.create_timed_event());
  const EventId event = events_[events_used_++];
  backend_.record(event, stream_);
  return event;
}

// A device that failed tells nothing: the step reports it.
void DeviceTrace::tell() {
  if (parts_.empty() || !backend_.synchronize(events_[events_used_ - 1]).ok()) return;
  for (const Record& part : parts_) {
    const Time begin = based_ + backend_.between(base_, part.begin);
    const Time end = based_ + backend_.between(base_, part.end);
    const TraceArg layer = part.layer == kNoLayer ? TraceArg() : TraceArg{"layer", part.layer};
    track_.add(part.name, begin, end, step_, {"lane", lane_.value()}, layer);
  }
}

DeviceTrace::Pass::Pass(DeviceTrace* trace, uint64_t step, LaneId lane)
    : trace_(trace != nullptr && trace->track_.wants(step) ? trace : nullptr) {
  if (trace_ == nullptr) return;
  trace_->in_pass_ = true;
  trace_->step_ = step;
  trace_->lane_ = lane;
  trace_->parts_.clear();
  trace_->events_used_ = 0;
  trace_->backend_.begin_range("step", step);
  // The stream is empty here, so the event happens as it is recorded.
  trace_->backend_.record(trace_->base_, trace_->stream_);
  trace_->based_ = monotonic_now();
}

DeviceTrace::Pass::~Pass() {
  if (trace_ == nullptr) return;
  trace_->backend_.end_range();
  trace_->in_pass_ = false;
  trace_->tell();
}

DeviceTrace::Part::Part(DeviceTrace* trace, const char* name, uint32_t layer)
    : trace_(trace != nullptr && trace->in_pass_ ? trace : nullptr) {
  if (trace_ == nullptr) return;
  index_ = trace_->parts_.size();
  trace_->backend_.begin_range(name, layer == kNoLayer ? trace_->step_ : layer);
  trace_->parts_.push_back({name, layer, trace_->record(), {}});
}

DeviceTrace::Part::~Part() {
  if (trace_ == nullptr) return;
  trace_->parts_[index_].end = trace_->record();
  trace_->backend_.end_range();
}

}  // namespace ballast
