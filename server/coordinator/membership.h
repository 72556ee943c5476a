// Membership: which workers and shards are in, in which life, and whether they are heard. The
// failure detector is here: silence beyond the patience, shorter once the connection broke; and a
// process that answers but does not get on is told apart from a dead one. Pure; no messages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/wire/control_messages.h"
#include "server/coordinator/patience.h"
#include "server/coordinator/saved_state.h"

namespace ballast {

// One worker or shard.
struct Member : SavedMember {
  Time since{};       // of this presence; kUnseen: of the start of the waiting
  Time heard{};       // the last message
  Time beat_moved{};  // the last sign that its work gets on
  uint64_t beat = 0;
  std::optional<Time> lost;  // the connection broke then, and nothing was heard since
  std::string arithmetic;    // of a worker; empty: not known since the coordinator started
  bool stuck_told = false;
};

enum class Arrival {
  kNew,        // first life, or a spare
  kKnown,      // the life that is in; the answer was lost
  kReturned,   // the life that was given up is there after all
  kRestarted,  // a new life of a process that had been in
};

class Membership {
 public:
  // Worker numbers reach to workers_max, shard numbers to shard_count.
  Membership(uint32_t workers_max, uint32_t shard_count, const Patience& patience);

  // From a saved state of the same sizes.
  void restore(const SavedState& state);
  void save(SavedState& state) const;
  // Nobody is silent or late before `now`.
  void begin(Time now);

  // A join that was found fit (admission.h).
  Arrival joined(const wire::Join& join, Time now);
  // True when `peer` is the life that is in; then it has been heard.
  bool heard(const Peer& peer, Time now);
  void beat(const Peer& peer, uint64_t beat, Time now);
  void lost(const Peer& peer, Time now);
  // The life that was given up is there after all, and a member again. False: it is not that life.
  bool returned(const Peer& peer, Time now);
  void gone(WorkerId worker, Time now);
  void gone(ShardId shard, Time now);

  [[nodiscard]] bool dead(const Member& member, Time now) const;
  // Of one that is dead: "not heard for 5.0 s", "its connection broke 500 ms ago".
  [[nodiscard]] std::string why_dead(const Member& member, Time now) const;
  // For how long it answers without getting on; zero below the limit.
  [[nodiscard]] Duration stuck(const Member& member, Time now) const;
  // The last sign that the work of any worker who is in gets on.
  [[nodiscard]] Time last_worker_beat() const;

  // By role and index, whatever the life. Null: no such number.
  [[nodiscard]] const Member* find(const Peer& peer) const;
  [[nodiscard]] Member* find(const Peer& peer);
  [[nodiscard]] const Member& worker(WorkerId worker) const { return workers_[worker.value()]; }
  [[nodiscard]] const Member& shard(ShardId shard) const { return shards_[shard.value()]; }
  [[nodiscard]] Member& worker(WorkerId worker) { return workers_[worker.value()]; }
  [[nodiscard]] Member& shard(ShardId shard) { return shards_[shard.value()]; }
  [[nodiscard]] uint32_t worker_limit() const { return static_cast<uint32_t>(workers_.size()); }
  [[nodiscard]] uint32_t shard_count() const { return static_cast<uint32_t>(shards_.size()); }

  // In ascending order.
  [[nodiscard]] std::vector<WorkerId> workers_in() const;
  [[nodiscard]] std::vector<ShardId> shards_in() const;
  [[nodiscard]] bool all_shards_loaded() const;
  [[nodiscard]] Peer peer(WorkerId worker) const;
  [[nodiscard]] Peer peer(ShardId shard) const;

  // "worker 1 (never seen, 3.2 s), shard 0 (joined, still loading, 1.0 s)": everybody who must be
  // there before the first step and is not. Empty: complete.
  [[nodiscard]] std::string missing(uint32_t workers_wanted, Time now) const;
  // Since when somebody has been missing without a break; loading counts from its own join.
  [[nodiscard]] Time missing_since(uint32_t workers_wanted) const;

 private:
  Patience patience_;
  std::vector<Member> workers_;
  std::vector<Member> shards_;
};

// "worker 1 (host box, process 4711)".
[[nodiscard]] std::string name_of(WorkerId worker, const SavedMember& member);
[[nodiscard]] std::string name_of(ShardId shard, const SavedMember& member);

}  // namespace ballast
