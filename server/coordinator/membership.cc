#include "server/coordinator/membership.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/check.h"

namespace ballast {
namespace {

std::string name(const char* what, uint32_t index, const SavedMember& member) {
  if (member.host.empty()) return fmt::format("{} {}", what, index);
  return fmt::format("{} {} (host {}, process {})", what, index, member.host, member.process);
}

const char* absence(const Member& member) {
  switch (member.presence) {
    case Presence::kUnseen:
      return "has not joined";
    case Presence::kGone:
      return "is gone";
    case Presence::kIn:
      break;
  }
  return "is loading";
}

}  // namespace

std::string seconds_text(Duration duration) {
  if (duration < 1s) return fmt::format("{:.0f} ms", 1e3 * to_seconds(duration));
  return fmt::format("{:.1f} s", to_seconds(duration));
}

std::string name_of(WorkerId worker, const SavedMember& member) {
  return name("worker", worker.value(), member);
}
std::string name_of(ShardId shard, const SavedMember& member) {
  return name("shard", shard.value(), member);
}

Membership::Membership(uint32_t workers_max, uint32_t shard_count, const Patience& patience)
    : patience_(patience), workers_(workers_max), shards_(shard_count) {}

void Membership::restore(const SavedState& state) {
  BALLAST_CHECK(state.workers.size() == workers_.size() && state.shards.size() == shards_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    static_cast<SavedMember&>(workers_[i]) = state.workers[i];
  }
  for (size_t i = 0; i < shards_.size(); ++i) {
    static_cast<SavedMember&>(shards_[i]) = state.shards[i];
  }
}

void Membership::save(SavedState& state) const {
  state.workers.assign(workers_.begin(), workers_.end());
  state.shards.assign(shards_.begin(), shards_.end());
}

void Membership::begin(Time now) {
  for (std::vector<Member>* members : {&workers_, &shards_}) {
    for (Member& member : *members) member.since = member.heard = member.beat_moved = now;
  }
}

const Member* Membership::find(const Peer& peer) const {
  if (peer.role == Role::kWorker && peer.index < workers_.size()) return &workers_[peer.index];
  if (peer.role == Role::kServer && peer.index < shards_.size()) return &shards_[peer.index];
  return nullptr;
}

Member* Membership::find(const Peer& peer) {
  return const_cast<Member*>(std::as_const(*this).find(peer));
}

Arrival Membership::joined(const wire::Join& join, Time now) {
  Member* member = find({join.role, join.index, join.incarnation});
  BALLAST_CHECK(member != nullptr && join.incarnation >= member->incarnation);
  const bool same_life = join.incarnation == member->incarnation;
  if (same_life && member->presence == Presence::kIn) {
    member->heard = now;
    member->lost.reset();
    member->arithmetic = join.arithmetic;  // a coordinator that was restarted does not know it
    return Arrival::kKnown;
  }
  const bool first = member->presence == Presence::kUnseen;
  const bool loaded = same_life && member->loaded;
  *member = Member();
  member->presence = Presence::kIn;
  member->incarnation = join.incarnation;
  member->endpoint = join.endpoint;
  member->host = join.host;
  member->process = join.process;
  member->arithmetic = join.arithmetic;
  member->journal = join.journal_survived;
  member->loaded = loaded;
  member->since = member->heard = member->beat_moved = now;
  if (same_life) return Arrival::kReturned;
  return first ? Arrival::kNew : Arrival::kRestarted;
}

bool Membership::heard(const Peer& peer, Time now) {
  Member* member = find(peer);
  if (member == nullptr || member->presence != Presence::kIn) return false;
  if (member->incarnation != peer.incarnation) return false;
  member->heard = now;
  member->lost.reset();
  return true;
}

void Membership::beat(const Peer& peer, uint64_t beat, Time now) {
  Member* member = find(peer);
  if (member == nullptr || beat == member->beat) return;
  member->beat = beat;
  member->beat_moved = now;
  member->stuck_told = false;
}

void Membership::lost(const Peer& peer, Time now) {
  Member* member = find(peer);
  if (member == nullptr || member->presence != Presence::kIn || member->lost) return;
  if (peer.incarnation == 0 || peer.incarnation == member->incarnation) member->lost = now;
}

bool Membership::returned(const Peer& peer, Time now) {
  Member* member = find(peer);
  if (member == nullptr || member->presence != Presence::kGone) return false;
  if (member->incarnation != peer.incarnation) return false;
  member->presence = Presence::kIn;
  member->since = member->heard = member->beat_moved = now;
  member->lost.reset();
  member->stuck_told = false;
  return true;
}

void Membership::gone(WorkerId worker, Time now) {
  workers_[worker.value()].presence = Presence::kGone;
  workers_[worker.value()].since = now;
}
void Membership::gone(ShardId shard, Time now) {
  shards_[shard.value()].presence = Presence::kGone;
  shards_[shard.value()].since = now;
}

bool Membership::dead(const Member& member, Time now) const {
  if (member.presence != Presence::kIn) return false;
  if (member.lost && now - *member.lost >= patience_.lost) return true;
  return now - member.heard >= patience_.dead;
}

std::string Membership::why_dead(const Member& member, Time now) const {
  if (member.lost)
    return fmt::format("its connection broke {} ago", seconds_text(now - *member.lost));
  return fmt::format("not heard for {}", seconds_text(now - member.heard));
}

Time Membership::last_worker_beat() const {
  Time last{};
  for (const Member& member : workers_) {
    if (member.presence == Presence::kIn) last = std::max(last, member.beat_moved);
  }
  return last;
}

Duration Membership::stuck(const Member& member, Time now) const {
  const Duration still = now - member.beat_moved;
  return member.presence == Presence::kIn && still >= patience_.stuck ? still : Duration(0);
}

std::vector<WorkerId> Membership::workers_in() const {
  std::vector<WorkerId> in;
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].presence == Presence::kIn) in.push_back(WorkerId(i));
  }
  return in;
}

std::vector<ShardId> Membership::shards_in() const {
  std::vector<ShardId> in;
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].presence == Presence::kIn) in.push_back(ShardId(i));
  }
  return in;
}

bool Membership::all_shards_loaded() const {
  for (const Member& shard : shards_) {
    if (shard.presence != Presence::kIn || !shard.loaded) return false;
  }
  return true;
}

Peer Membership::peer(WorkerId worker) const {
  return {Role::kWorker, worker.value(), workers_[worker.value()].incarnation};
}
Peer Membership::peer(ShardId shard) const {
  return {Role::kServer, shard.value(), shards_[shard.value()].incarnation};
}

std::string Membership::missing(uint32_t workers_wanted, Time now) const {
  std::string text;
  const auto add = [&](const std::string& who, const Member& member) {
    text += fmt::format("{}{} {} ({})", text.empty() ? "" : ", ", who, absence(member),
                        seconds_text(now - member.since));
  };
  for (uint32_t i = 0; i < shards_.size(); ++i) {
    const Member& shard = shards_[i];
    if (shard.presence != Presence::kIn || !shard.loaded) add(name_of(ShardId(i), shard), shard);
  }
  // Any workers will do; the lowest numbers are the ones that the launcher starts.
  size_t lacking = workers_wanted - std::min<size_t>(workers_wanted, workers_in().size());
  for (uint32_t i = 0; i < workers_.size() && lacking > 0; ++i) {
    if (workers_[i].presence == Presence::kIn) continue;
    add(name_of(WorkerId(i), workers_[i]), workers_[i]);
    --lacking;
  }
  return text;
}

Time Membership::missing_since(uint32_t workers_wanted) const {
  Time since = kEndOfTime;
  for (const Member& shard : shards_) {
    if (shard.presence != Presence::kIn || !shard.loaded) since = std::min(since, shard.since);
  }
  size_t lacking = workers_wanted - std::min<size_t>(workers_wanted, workers_in().size());
  for (uint32_t i = 0; i < workers_.size() && lacking > 0; ++i) {
    if (workers_[i].presence == Presence::kIn) continue;
    since = std::min(since, workers_[i].since);
    --lacking;
  }
  return since;
}

}  // namespace ballast
