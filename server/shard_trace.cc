#include "server/shard_trace.h"

#include <fmt/format.h>

namespace ballast {
namespace {

// Above what all workers of a sane job have in flight.
constexpr size_t kHeldMax = 1 << 16;

}  // namespace

ShardTrace::ShardTrace(Trace& trace, ShardId shard)
    : track_(trace, fmt::format("shard {}", shard.value())) {}

ShardTrace::~ShardTrace() {
  const Time now = monotonic_now();
  for (const auto& [key, request] : held_) close(key.first, request, now, {"unanswered", 1});
}

void ShardTrace::arrived(const Peer& from, const wire::Any& message, Time now) {
  current_ = ++messages_;
  if (const auto* push = std::get_if<wire::Push>(&message)) {
    for (const wire::PushEntry& entry : push->entries) {
      if (entry.lanes.empty()) continue;  // makes no sense: the shard drops it
      const Clock clock = entry.lanes.front().clock;
      hold(from, entry.sequence, {"held push", now, clock, entry.unit, messages_});
      applying_ = track_.wants(clock);
      apply_step_ = clock;
    }
    apply_since_ = now;
    apply_worker_ = from.index;
    apply_units_ = push->entries.size();
  } else if (const auto* pull = std::get_if<wire::Pull>(&message)) {
    for (const wire::PullEntry& entry : pull->entries) {
      // Readers that belong to no lane, and evaluations, are of no step.
      if (entry.snapshot > 0) continue;
      hold(from, entry.sequence, {"held pull", now, entry.clock, entry.unit, messages_});
    }
  }
}

void ShardTrace::hold(const Peer& from, uint64_t sequence, const Request& request) {
  if (held_.size() < kHeldMax && track_.wants(request.step)) {
    held_.emplace(std::pair(from, sequence), request);
  }
}

void ShardTrace::handled(Time now) {
  if (!applying_) return;
  applying_ = false;
  track_.add("apply", apply_since_, now, apply_step_, {"worker", apply_worker_},
             {"units", apply_units_});
}

void ShardTrace::answered(const Peer& to, const wire::ReplyEntry& entry, Time now) {
  const auto found = held_.find({to, entry.sequence});
  if (found == held_.end()) return;
  if (found->second.message != current_) close(to, found->second, now);
  held_.erase(found);
}

void ShardTrace::close(const Peer& from, const Request& request, Time now, TraceArg end) {
  track_.add_overlapping(request.name, request.since, now, request.step, {"worker", from.index},
                         {"unit", request.unit.value()}, end);
}

void ShardTrace::lost(const Peer& peer) {
  std::erase_if(held_, [&](const auto& request) { return request.first.first == peer; });
}

}  // namespace ballast
