// CheckpointRounds: when a checkpoint is due, which parts have come, when to commit. One commit at
// a time; a round that a newer one overtakes is dropped. Pure.
//
// Periodic rounds. Sync: shards cut by themselves at every multiple of every_steps and send their
// parts. Async, ssp: the coordinator orders a cut when the least clock passes such a multiple.
// Ordered rounds (at a stop, at the job's end) go before periodic ones in every mode.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "common/config/job_config.h"
#include "common/wire/control_messages.h"
#include "server/coordinator/saved_state.h"

namespace ballast {

class CheckpointRounds {
 public:
  CheckpointRounds(Mode mode, uint64_t every_steps, uint32_t shard_count);

  void restore(const SavedState& state);
  void save(SavedState& state) const;
  // A resumed job: this one is committed already.
  void begin_after(uint64_t id);

  // The order that is due at this least clock, once; async, ssp only.
  [[nodiscard]] std::optional<uint64_t> due(Clock least_clock) const;
  // Orders a cut `id` that stands for `clock`. Drops open periodic rounds of async and ssp.
  void order(uint64_t id, Clock clock);
  // A number for a cut of this clock that was never used. Sync: the clock itself, whose bits are
  // the same whoever cuts.
  [[nodiscard]] uint64_t fresh_id(Clock clock) const;

  // False: not of an open round.
  bool part(ShardId shard, const wire::PartDone& message);

  struct Commit {
    uint64_t id = 0;
    Clock clock = 0;
    std::vector<CheckpointPart> parts;
  };
  // The next round whose parts are all there, unless a commit is under way.
  [[nodiscard]] std::optional<Commit> begin_commit();
  // Also of a round that an earlier life began. False: known already.
  bool committed(uint64_t id);
  // The ordered round is given up.
  void drop_order();

  [[nodiscard]] uint64_t last_committed() const { return committed_; }
  // The ordered round under way.
  [[nodiscard]] std::optional<uint64_t> ordered() const { return ordered_; }
  // Shards whose part of the ordered round is missing.
  [[nodiscard]] std::vector<ShardId> awaited() const;
  [[nodiscard]] bool committing() const { return committing_.has_value(); }

 private:
  struct Round {
    Clock clock = 0;
    std::map<uint32_t, CheckpointPart> parts;  // by shard
  };
  static constexpr size_t kRoundsMax = 4;  // open ones; shards are at most a step apart in sync

  Mode mode_;
  uint64_t every_steps_;
  uint32_t shard_count_;
  uint64_t committed_ = 0;
  uint64_t used_ = 0;  // the highest id ever ordered, also by an earlier life
  std::optional<uint64_t> ordered_;
  std::optional<uint64_t> committing_;
  std::map<uint64_t, Round> rounds_;  // by id
};

}  // namespace ballast
