// DeviceTrace: when the device did the parts of a step, as spans of a track for each of its
// streams. A device is asked long before it works, so each part stands between two timed events of
// its stream; when all of them have happened they are told in host time, by an event that was
// recorded together with it. The parts are ranges of the device's own profiler too. Owner thread:
// the computing thread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/ids.h"
#include "common/base/trace.h"
#include "common/compute/backend.h"

namespace ballast {

// What the streams of a step do.
struct DeviceTracks {
  explicit DeviceTracks(Trace& trace)
      : compute(trace, "device"),
        uploads(trace, "device uploads"),
        downloads(trace, "device downloads") {}

  TraceTrack compute;
  TraceTrack uploads;
  TraceTrack downloads;
};

class DeviceTrace {
 public:
  struct Stream {
    StreamId id;
    TraceTrack& track;
  };
  // The back end and the tracks outlive it. A pass begins when what is on the first
  // stream is done; its track says which steps are told.
  DeviceTrace(Backend& backend, std::vector<Stream> streams);

  // One pass over the rows of a lane, from its making to its end, which waits for the parts, those
  // for the next pass too. None
  // where `trace` is null or its track does not want the step.
  class Pass {
   public:
    Pass(DeviceTrace* trace, uint64_t step, LaneId lane);
    ~Pass();
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    [[nodiscard]] bool is_told() const { return trace_ != nullptr; }

   private:
    DeviceTrace* const trace_;
  };

  static constexpr uint32_t kNoLayer = ~uint32_t{0};

  // kThisPass: nothing outside of a pass that is told. kNextPass: what may also be put between two
  // passes, and is told with the second where both are told; in a pass it is told with that one.
  enum class Of { kThisPass, kNextPass };

  // What is put on the stream, one of those, from its making to its end.
  class Part {
   public:
    Part(DeviceTrace* trace, StreamId stream, const char* name, uint32_t layer = kNoLayer,
         Of pass = Of::kThisPass);
    ~Part();
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

   private:
    DeviceTrace* const trace_;
    size_t index_ = 0;
  };

 private:
  struct Record {
    StreamId stream;
    const char* name = nullptr;
    uint32_t layer = kNoLayer;
    EventId begin;
    EventId end;
  };

  // Parts that no pass comes for are not kept without end.
  static constexpr size_t kPartsKept = 1 << 14;

  EventId record(StreamId stream);
  void begin_time();
  void forget_parts();
  [[nodiscard]] bool takes(Of pass) const;
  [[nodiscard]] bool parts_done();
  [[nodiscard]] TraceTrack& track_of(StreamId stream);
  void tell();

  Backend& backend_;
  const std::vector<Stream> streams_;
  const EventId base_;
  bool in_pass_ = false;
  bool told_last_ = false;  // the last pass
  uint64_t step_ = 0;
  LaneId lane_;
  Time based_{};                 // when base_ was recorded
  std::vector<EventId> events_;  // all that were ever needed
  size_t events_used_ = 0;       // by parts_
  std::vector<Record> parts_;    // of this pass, or of the next
};

}  // namespace ballast
