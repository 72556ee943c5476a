#include "worker/data/kept_blocks.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast {

KeptBlocks::KeptBlocks(uint64_t block_count) : uses_(block_count) {}

bool KeptBlocks::is_ahead(const Use& use) const {
  return use.when > passed_[use.lane.value()];
}

void KeptBlocks::expect(LaneId lane, std::span<const BlockUse> uses) {
  if (passed_.size() <= lane.value()) passed_.resize(lane.value() + 1, 0);
  for (const BlockUse& use : uses) {
    std::vector<Use>& known = uses_[use.block];
    std::erase_if(known, [this](const Use& each) { return !is_ahead(each); });
    known.push_back({use.when, lane});
    if (const auto kept = kept_.find(use.block); kept != kept_.end()) rank(use.block, kept->second);
  }
}

void KeptBlocks::passed(LaneId lane, uint64_t when) {
  if (passed_.size() <= lane.value()) passed_.resize(lane.value() + 1, 0);
  const bool goes_back = when < passed_[lane.value()];
  passed_[lane.value()] = when;
  if (goes_back) {
    for (auto& [block, place] : kept_) rank(block, place);
    return;
  }
  // What was read ahead for a lane that went past it is not to stay for that.
  std::vector<uint64_t> due;
  for (const auto& [next, block] : ranks_) {
    if (next > when) break;
    due.push_back(block);
  }
  for (uint64_t block : due) rank(block, kept_.at(block));
}

void KeptBlocks::forget(LaneId lane) {
  if (passed_.size() <= lane.value()) return;
  passed_[lane.value()] = 0;
  for (std::vector<Use>& known : uses_) {
    std::erase_if(known, [lane](const Use& use) { return use.lane == lane; });
  }
  for (auto& [block, place] : kept_) rank(block, place);
}

uint64_t KeptBlocks::next_use(uint64_t block) const {
  uint64_t next = kNever;
  for (const Use& use : uses_[block]) {
    if (is_ahead(use)) next = std::min(next, use.when);
  }
  return next;
}

void KeptBlocks::rank(uint64_t block, Place& place) {
  ranks_.erase({place.rank, block});
  place.rank = next_use(block);
  ranks_.insert({place.rank, block});
}

void KeptBlocks::keep(uint64_t block, Kept kept) {
  const auto [place, is_new] = kept_.try_emplace(block);
  BALLAST_CHECK(is_new);
  place->second.kept = std::move(kept);
  rank(block, place->second);
}

std::optional<KeptBlocks::Kept> KeptBlocks::take(uint64_t block) {
  const auto found = kept_.find(block);
  if (found == kept_.end()) return std::nullopt;
  ranks_.erase({found->second.rank, block});
  Kept kept = std::move(found->second.kept);
  kept_.erase(found);
  return kept;
}

std::optional<KeptBlocks::Kept> KeptBlocks::give_up(uint64_t when) {
  if (ranks_.empty() || ranks_.rbegin()->first <= when) return std::nullopt;
  return take(ranks_.rbegin()->second);
}

std::map<uint64_t, KeptBlocks::Kept> KeptBlocks::take_all() {
  std::map<uint64_t, Kept> all;
  for (auto& [block, place] : kept_) all.emplace(block, std::move(place.kept));
  kept_.clear();
  ranks_.clear();
  return all;
}

}  // namespace ballast
