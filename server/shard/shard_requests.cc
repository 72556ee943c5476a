// Pushes and pulls: the shard's part that decides what may reach a unit, hands it over, and says
// what it refused and why.
#include <fmt/format.h>

#include <algorithm>

#include "common/base/hash.h"
#include "server/shard/shard.h"

namespace ballast {
namespace {

// In a note about a push that was dropped.
constexpr size_t kLanesNamed = 4;

}  // namespace

void Shard::on_push(const Peer& from, wire::Push& push, Time now, ShardEffects& out) {
  if (!serving_) return;  // a client asks again
  for (wire::PushEntry& entry : push.entries) {
    if (!admit(from, entry, out)) continue;
    HostedUnit& target = *hosted(entry.unit, entry.epoch);
    std::vector<UnitAnswer> answers;
    const uint64_t malformed = target.unit->counters().malformed;
    // For a note. Not the gradient itself: a second holder would keep the unit from writing the
    // next version over it.
    const size_t gradient_bytes = entry.gradient.size();
    const std::vector<wire::LaneStamp> lanes = entry.lanes;
    const bool changed = target.unit->push(from, std::move(entry), now, answers);
    ++beat_;
    if (target.unit->counters().malformed > malformed) {
      note_dropped(
          from, entry.unit, lanes, gradient_bytes,
          fmt::format("lanes, clock, weight or size do not fit unit {} at version {} with "
                      "{} bytes",
                      entry.unit.value(), target.unit->version(), target.unit->weights().bytes()),
          out);
    }
    if (changed) {
      after_change(target, std::move(answers), out);
    } else {
      send(std::move(answers), out);
    }
  }
}

void Shard::on_pull(const Peer& from, wire::Pull& pull, Time now, ShardEffects& out) {
  if (!serving_) return;
  for (const wire::PullEntry& entry : pull.entries) {
    HostedUnit* target = hosted(entry.unit, entry.epoch);
    if (target == nullptr) {
      send({from,
            {.sequence = entry.sequence,
             .unit = entry.unit,
             .epoch = entry.epoch,
             .code = wire::ReplyCode::kMoved,
             .fences = {},
             .missing = {},
             .weights = {}}},
           out);
      continue;
    }
    std::vector<UnitAnswer> answers;
    target->unit->pull(from, entry, now, answers);
    ++beat_;
    send(std::move(answers), out);
  }
}

Shard::HostedUnit* Shard::hosted(UnitId unit, UnitEpoch epoch) {
  const auto found = units_.find(unit);
  return found == units_.end() || found->second.epoch != epoch ? nullptr : &found->second;
}

void Shard::after_change(HostedUnit& hosted, std::vector<UnitAnswer> answers, ShardEffects& out) {
  if (journal_.durability() != Durability::kCheckpoint) {
    last_lsn_ = journal_.append(hosted.unit->image());
  }
  // Before its answers are said: they may have to wait for the part that it completes.
  if (config_.job.train.mode == Mode::kSync) cut_published(*hosted.unit);
  send(std::move(answers), out);
}

void Shard::send(std::vector<UnitAnswer> answers, ShardEffects& out) {
  for (UnitAnswer& answer : answers) send(std::move(answer), out);
}

void Shard::send(UnitAnswer answer, ShardEffects& out) {
  say_when_durable(shard_effect::SendReply{answer.to, std::move(answer.entry)}, out);
}

// ---------------------------------------------------------------- what is refused

// Data of this run, or an order of the coordinator. Anything else is an old worker that found our
// address, or a stranger.
bool Shard::is_ours(const shard_event::Received& event, ShardEffects& out) {
  const auto* push = std::get_if<wire::Push>(&event.message);
  const auto* pull = std::get_if<wire::Pull>(&event.message);
  std::string why;
  if (push != nullptr || pull != nullptr) {
    const uint64_t run = push != nullptr ? push->header.run : pull->header.run;
    if (run == config_.run) return true;
    why =
        fmt::format("it is of run {}, expected {}; end the processes that are left of another run",
                    hex64(run), hex64(config_.run));
  } else {
    if (event.from.role == Role::kCoordinator) return true;
    why = "only the coordinator gives orders; look who connects to this shard";
  }
  if (is_worth_a_note(event.from)) {
    out.push_back(
        shard_effect::Note{fmt::format("dropped a message of {}, number {} from it: {}",
                                       to_string(event.from), dropped_[event.from], why)});
  }
  return false;
}

// Whether the unit may see the entry. A push is compared by unit epoch first, then by the fences of
// its lanes; one above ours is from a future we have not been told of, and is asked again.
bool Shard::admit(const Peer& from, const wire::PushEntry& entry, ShardEffects& out) {
  wire::ReplyEntry refusal{.sequence = entry.sequence,
                           .unit = entry.unit,
                           .epoch = entry.epoch,
                           .fences = {},
                           .missing = {},
                           .weights = {}};
  if (hosted(entry.unit, entry.epoch) == nullptr) {
    refusal.code = wire::ReplyCode::kMoved;
    send({from, std::move(refusal)}, out);
    return false;
  }
  bool ahead = false;
  for (const wire::LaneStamp& stamp : entry.lanes) {
    if (stamp.lane.value() >= fences_.size()) {
      note_dropped(
          from, entry.unit, entry.lanes, entry.gradient.size(),
          fmt::format("lane {} is not among the {} of the job", stamp.lane.value(), fences_.size()),
          out);
      return false;
    }
    const Fence known = fences_[stamp.lane.value()];
    if (stamp.fence < known) refusal.fences.push_back({stamp.lane, known});
    ahead = ahead || stamp.fence > known;
  }
  if (!refusal.fences.empty()) {
    refusal.code = wire::ReplyCode::kFenced;
    send({from, std::move(refusal)}, out);
    return false;
  }
  if (ahead) {
    note_dropped(from, entry.unit, entry.lanes, entry.gradient.size(),
                 "its fence is above the one this shard was told", out);
  }
  return !ahead;
}

void Shard::note_dropped(const Peer& from, UnitId unit, std::span<const wire::LaneStamp> lanes,
                         size_t gradient_bytes, const std::string& why, ShardEffects& out) {
  if (!is_worth_a_note(from)) return;
  std::string named;
  for (size_t i = 0; i < std::min(lanes.size(), kLanesNamed); ++i) {
    const wire::LaneStamp& stamp = lanes[i];
    named += fmt::format("{}lane {} clock {} fence {}", i == 0 ? "" : ", ", stamp.lane.value(),
                         stamp.clock, stamp.fence);
  }
  out.push_back(shard_effect::Note{fmt::format(
      "dropped a push of {}, number {} from it: unit {}, {} bytes, "
      "{} lanes [{}]: {}; look into the "
      "sender's log, and use the same build and job everywhere",
      to_string(from), dropped_[from], unit.value(), gradient_bytes, lanes.size(), named, why)});
}

// Counts it. The first and then ever more seldom: whoever sends nonsense repeats it.
bool Shard::is_worth_a_note(const Peer& from) {
  const uint64_t count = ++dropped_[from];
  return (count & (count - 1)) == 0;  // 1, 2, 4, 8 ...
}

}  // namespace ballast
