#include "server/coordinator/checkpoint_rounds.h"

#include <algorithm>

namespace ballast {

CheckpointRounds::CheckpointRounds(Mode mode, uint64_t every_steps, uint32_t shard_count)
    : mode_(mode), every_steps_(every_steps), shard_count_(shard_count) {}

void CheckpointRounds::restore(const SavedState& state) {
  committed_ = state.checkpoint_committed;
  used_ = state.checkpoint_ordered;
}

void CheckpointRounds::save(SavedState& state) const {
  state.checkpoint_committed = committed_;
  state.checkpoint_ordered = used_;
}

void CheckpointRounds::begin_after(uint64_t id) {
  committed_ = used_ = id;
}

std::optional<uint64_t> CheckpointRounds::due(Clock least_clock) const {
  if (mode_ == Mode::kSync || every_steps_ == 0 || ordered_ || committing_) return std::nullopt;
  const uint64_t id = least_clock / every_steps_ * every_steps_;
  return id > used_ ? std::optional(id) : std::nullopt;
}

void CheckpointRounds::order(uint64_t id, Clock clock) {
  if (mode_ != Mode::kSync) rounds_.clear();
  ordered_ = id;
  used_ = std::max(used_, id);
  rounds_[id].clock = clock;
}

uint64_t CheckpointRounds::fresh_id(Clock clock) const {
  return mode_ == Mode::kSync ? clock : std::max<uint64_t>(clock, used_ + 1);
}

bool CheckpointRounds::part(ShardId shard, const wire::PartDone& message) {
  const uint64_t id = message.checkpoint;
  if (shard.value() >= shard_count_ || message.part.shard != shard.value()) return false;
  const bool periodic = mode_ == Mode::kSync && every_steps_ > 0 && id % every_steps_ == 0;
  if (id <= committed_ || (id != ordered_ && !periodic)) return false;
  Round& round = rounds_[id];
  if (mode_ == Mode::kSync) round.clock = id;
  round.parts[shard.value()] = message.part;
  while (rounds_.size() > kRoundsMax) {
    const auto oldest =
        rounds_.begin()->first == ordered_ ? std::next(rounds_.begin()) : rounds_.begin();
    rounds_.erase(oldest);
  }
  return true;
}

std::optional<CheckpointRounds::Commit> CheckpointRounds::begin_commit() {
  if (committing_) return std::nullopt;
  for (auto round = rounds_.rbegin(); round != rounds_.rend(); ++round) {
    if (round->second.parts.size() != shard_count_) continue;
    Commit commit{round->first, round->second.clock, {}};
    for (const auto& [shard, part] : round->second.parts) commit.parts.push_back(part);
    committing_ = round->first;
    return commit;
  }
  return std::nullopt;
}

bool CheckpointRounds::committed(uint64_t id) {
  if (committing_ == id) committing_.reset();
  if (ordered_ && *ordered_ <= id) ordered_.reset();
  rounds_.erase(rounds_.begin(), rounds_.upper_bound(id));
  if (id <= committed_) return false;
  committed_ = id;
  used_ = std::max(used_, id);
  return true;
}

void CheckpointRounds::drop_order() {
  if (ordered_) rounds_.erase(*ordered_);
  ordered_.reset();
}

std::vector<ShardId> CheckpointRounds::awaited() const {
  std::vector<ShardId> shards;
  if (!ordered_) return shards;
  const auto round = rounds_.find(*ordered_);
  for (uint32_t shard = 0; shard < shard_count_; ++shard) {
    if (round == rounds_.end() || !round->second.parts.contains(shard))
      shards.push_back(ShardId(shard));
  }
  return shards;
}

}  // namespace ballast
