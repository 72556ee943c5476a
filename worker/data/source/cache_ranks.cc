#include "worker/data/source/cache_ranks.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ballast {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

}  // namespace

void CacheRanks::add(const std::string& name, uint64_t bytes) {
  Kept& kept = kept_[name];
  kept.bytes = bytes;
  kept.used = ++uses_;
  rank(name, kept);
}

void CacheRanks::drop(const std::string& name) {
  const auto found = kept_.find(name);
  if (found == kept_.end()) return;
  ranks_.erase(found->second.rank);
  kept_.erase(found);
}

void CacheRanks::set_kept(const std::vector<std::pair<std::string, uint64_t>>& now) {
  const auto before = std::exchange(kept_, {});
  ranks_.clear();
  for (const auto& [name, bytes] : now) {
    const auto known = before.find(name);
    Kept& kept = kept_[name];
    kept.bytes = bytes;
    kept.used = known == before.end() ? 0 : known->second.used;
    rank(name, kept);
  }
}

void CacheRanks::touch(const std::string& name) {
  const auto found = kept_.find(name);
  if (found == kept_.end()) return;
  found->second.used = ++uses_;
  rank(name, found->second);
}

void CacheRanks::expect(const std::string& name, uint64_t when) {
  std::vector<uint64_t>& uses = expected_[name];
  std::erase_if(uses, [this](uint64_t use) { return use <= now_; });
  if (std::ranges::find(uses, when) != uses.end()) return;  // said before a job went back
  uses.push_back(when);
  const auto found = kept_.find(name);
  if (found != kept_.end()) rank(name, found->second);
}

void CacheRanks::reached(uint64_t when) {
  const bool goes_back = when < now_;
  now_ = when;
  if (goes_back) {
    for (auto& [name, kept] : kept_) rank(name, kept);
  }
  while (!ranks_.empty() && std::get<0>(*ranks_.begin()) <= now_) {
    const std::string due = std::get<2>(*ranks_.begin());
    rank(due, kept_.at(due));
  }
}

std::vector<std::string> CacheRanks::names() const {
  std::vector<std::string> all;
  all.reserve(kept_.size());
  for (const auto& [name, kept] : kept_) all.push_back(name);
  return all;
}

bool CacheRanks::all_before(const std::string& name) const {
  return !ranks_.empty() && next_use(name) != kNever &&
         std::get<0>(*ranks_.rbegin()) < use_after_next(name);
}

uint64_t CacheRanks::next_use(const std::string& name) const {
  const auto found = expected_.find(name);
  if (found == expected_.end()) return kNever;
  uint64_t next = kNever;
  for (uint64_t when : found->second) {
    if (when > now_) next = std::min(next, when);
  }
  return next;
}

uint64_t CacheRanks::use_after_next(const std::string& name) const {
  const auto found = expected_.find(name);
  if (found == expected_.end()) return kNever;
  uint64_t next = kNever, after = kNever;
  for (uint64_t when : found->second) {
    if (when <= now_ || when >= after) continue;
    after = std::max(when, next);
    next = std::min(when, next);
  }
  return after;
}

void CacheRanks::rank(const std::string& name, Kept& kept) {
  ranks_.erase(kept.rank);
  kept.rank = {next_use(name), kNever - kept.used, name};
  ranks_.insert(kept.rank);
}

}  // namespace ballast
