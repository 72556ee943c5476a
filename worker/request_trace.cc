#include "worker/request_trace.h"

namespace ballast {
namespace {

// Requests whose task was given up stay open: far more than are ever in flight.
constexpr size_t kOpenMax = 1 << 16;

bool settles(wire::ReplyCode code) {
  return code != wire::ReplyCode::kMoved && code != wire::ReplyCode::kEarly &&
         code != wire::ReplyCode::kBusy && code != wire::ReplyCode::kRewound;
}

}  // namespace

RequestTrace::~RequestTrace() {
  const Time now = monotonic_now();
  for (const auto& [sequence, request] : open_) {
    close(request, now, request.bytes, {"unanswered", 1});
  }
}

void RequestTrace::sent(const Peer& to, const wire::Any& message, Time now) {
  if (const auto* push = std::get_if<wire::Push>(&message)) {
    for (const wire::PushEntry& entry : push->entries) {
      step_ = entry.lanes.front().clock;
      open(entry.sequence, {"push", now, step_, entry.unit, to.index, entry.gradient.size()});
    }
  } else if (const auto* pull = std::get_if<wire::Pull>(&message)) {
    for (const wire::PullEntry& entry : pull->entries) {
      if (entry.snapshot == 0) step_ = entry.clock;
      open(entry.sequence, {"pull", now, step_, entry.unit, to.index, 0});
    }
  }
}

void RequestTrace::open(uint64_t sequence, const Request& request) {
  if (open_.size() < kOpenMax && track_.wants(request.step)) open_.emplace(sequence, request);
}

void RequestTrace::received(const wire::Any& message, Time now) {
  const auto* reply = std::get_if<wire::Reply>(&message);
  if (reply == nullptr) return;
  for (const wire::ReplyEntry& entry : reply->entries) {
    const auto found = open_.find(entry.sequence);
    if (found == open_.end() || !settles(entry.code)) continue;
    close(found->second, now, found->second.bytes + entry.weights.size());
    open_.erase(found);
  }
}

void RequestTrace::close(const Request& request, Time now, uint64_t bytes, TraceArg end) {
  track_.add_overlapping(
      request.name, request.since, now, request.step, {"layer", layers_.at(request.unit.value())},
      {"unit", request.unit.value()}, {"shard", request.shard}, {"bytes", bytes}, end);
}

}  // namespace ballast
