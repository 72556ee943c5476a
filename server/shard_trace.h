// ShardTrace: what a shard does with pushes and pulls, as spans: "apply" while it works on a
// message of pushes; "held push" and "held pull", which overlap, of the requests that it does not
// answer at once. It watches the messages of whoever drives a shard, so that the shard stays
// without a clock. Owner thread: the shard's.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "common/base/ids.h"
#include "common/base/trace.h"
#include "common/net/message.h"
#include "common/wire/messages.h"

namespace ballast {

class ShardTrace {
 public:
  // `trace` outlives it.
  ShardTrace(Trace& trace, ShardId shard);
  // What has no answer by now is marked so.
  ~ShardTrace();

  // A message comes to the shard; `handled` follows at once, then what it answered at once, which
  // was not held, then `settled`.
  void arrived(const Peer& from, const wire::Any& message, Time now);
  void handled(Time now);
  void settled() { current_ = 0; }
  void answered(const Peer& to, const wire::ReplyEntry& entry, Time now);
  // Nobody waits for its answers any more.
  void lost(const Peer& peer);
  void flush_when_due(Time now) { track_.flush_when_due(now); }

 private:
  struct Request {
    const char* name = nullptr;
    Time since{};
    uint64_t step = 0;
    UnitId unit;
    uint64_t message = 0;  // that brought it
  };
  void hold(const Peer& from, uint64_t sequence, const Request& request);
  void close(const Peer& from, const Request& request, Time now, TraceArg end = {});

  TraceTrack track_;
  std::map<std::pair<Peer, uint64_t>, Request> held_;  // by sender and sequence
  uint64_t messages_ = 0;                              // that arrived
  uint64_t current_ = 0;                               // the one that is dealt with; 0: none
  // The message of pushes being worked on.
  bool applying_ = false;
  Time apply_since_{};
  uint64_t apply_step_ = 0;
  uint32_t apply_worker_ = 0;
  uint64_t apply_units_ = 0;
};

}  // namespace ballast
