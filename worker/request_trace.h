// RequestTrace: pushes and pulls on their way, from the first time they are sent to the answer that
// settles them, as spans that overlap. It watches the messages of whoever drives a session, so that
// the session stays without a clock. Owner thread: the one that owns the transport.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "common/base/trace.h"
#include "common/net/message.h"
#include "common/wire/messages.h"

namespace ballast {

class RequestTrace {
 public:
  // `trace` outlives it. layers[u]: the layer that unit u is of.
  RequestTrace(Trace& trace, std::vector<uint32_t> layers)
      : track_(trace, "requests"), layers_(std::move(layers)) {}
  // What has no answer by now is marked so.
  ~RequestTrace();

  void sent(const Peer& to, const wire::Any& message, Time now);
  void received(const wire::Any& message, Time now);
  void flush_when_due(Time now) { track_.flush_when_due(now); }

 private:
  struct Request {
    const char* name = nullptr;
    Time since{};
    uint64_t step = 0;
    UnitId unit;
    uint32_t shard = 0;
    uint64_t bytes = 0;  // of the gradient
  };
  void open(uint64_t sequence, const Request& request);
  void close(const Request& request, Time now, uint64_t bytes, TraceArg end = {});

  TraceTrack track_;
  const std::vector<uint32_t> layers_;
  std::map<uint64_t, Request> open_;  // by sequence
  uint64_t step_ = 0;                 // the last that was named
};

}  // namespace ballast
