// HeldRequests: what a unit has not answered yet. A request that is sent again takes the place of
// its older self, so a unit holds at most one of each (sender, sequence). In order of arrival.
// Owner thread: the shard.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/time.h"
#include "common/net/message.h"

namespace ballast {

template <typename Entry>
class HeldRequests {
 public:
  struct Held {
    Peer from;
    Time since;
    Entry entry;
  };

  // True: it was not there yet. A repeated request keeps its old `since`.
  bool hold(const Peer& from, Time now, Entry entry) {
    for (Held& held : held_) {
      if (held.from == from && held.entry.sequence == entry.sequence) {
        held.entry = std::move(entry);
        return false;
      }
    }
    held_.push_back({from, now, std::move(entry)});
    return true;
  }

  [[nodiscard]] bool contains(const Peer& from, uint64_t sequence) const {
    return std::any_of(held_.begin(), held_.end(), [&](const Held& held) {
      return held.from == from && held.entry.sequence == sequence;
    });
  }

  // Removes and returns all of them, oldest first.
  [[nodiscard]] std::vector<Held> take_all() { return std::exchange(held_, {}); }

  // Removes and returns those for which `wanted(held)` holds, oldest first.
  template <typename Predicate>
  [[nodiscard]] std::vector<Held> take_if(Predicate wanted) {
    auto kept_end = std::stable_partition(held_.begin(), held_.end(),
                                          [&](const Held& held) { return !wanted(held); });
    std::vector<Held> taken(std::make_move_iterator(kept_end),
                            std::make_move_iterator(held_.end()));
    held_.erase(kept_end, held_.end());
    return taken;
  }

  void forget(const Peer& peer) {
    std::erase_if(held_, [&](const Held& held) { return held.from == peer; });
  }

  [[nodiscard]] size_t size() const { return held_.size(); }
  [[nodiscard]] const Held* oldest() const { return held_.empty() ? nullptr : &held_.front(); }
  [[nodiscard]] auto begin() const { return held_.begin(); }
  [[nodiscard]] auto end() const { return held_.end(); }

 private:
  std::vector<Held> held_;
};

}  // namespace ballast
