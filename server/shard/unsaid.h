// Unsaid: what a shard has to say and may not yet, because it rests on what is not durable. In the
// order in which it was to be said. A client whose answer waits asks again, and a coordinator too:
// what waits answers the repeat as well, so there is at most one answer for each (peer, unit,
// sequence), one Loaded, and one FenceMarks for the same fences. So a stalled disk makes it hold no
// more than the requests that the connected peers have in flight. Owner thread: the shard's.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "common/net/message.h"
#include "common/storage/journal.h"
#include "common/wire/messages.h"

namespace ballast {

template <typename Effect, typename Reply, typename Control>
class Unsaid {
 public:
  // May be said once `lsn` is durable. A repeat of what waits is dropped.
  void add(Lsn lsn, Effect effect) {
    if (const auto* reply = std::get_if<Reply>(&effect)) {
      if (!answers_.insert(key_of(*reply)).second) return;
    } else if (const auto* control = std::get_if<Control>(&effect)) {
      const bool waits = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& other) {
        const auto* said = std::get_if<Control>(&other.effect);
        return said != nullptr && says_the_same(said->message, control->message);
      });
      if (waits) return;
    }
    waiting_.push_back({lsn, std::move(effect)});
  }

  // The next one, if it rests on nothing above `durable`.
  [[nodiscard]] std::optional<Effect> take(Lsn durable) {
    if (waiting_.empty() || waiting_.front().lsn > durable) return std::nullopt;
    Effect effect = std::move(waiting_.front().effect);
    waiting_.pop_front();
    if (const auto* reply = std::get_if<Reply>(&effect)) answers_.erase(key_of(*reply));
    return effect;
  }

  // The life of this peer is over: nobody is there to hear its answers.
  void forget(const Peer& peer) {
    std::erase_if(waiting_, [&](const auto& one) {
      const auto* reply = std::get_if<Reply>(&one.effect);
      return reply != nullptr && reply->to == peer;
    });
    std::erase_if(answers_, [&](const Key& key) { return std::get<Peer>(key) == peer; });
  }

  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] size_t size() const { return waiting_.size(); }

 private:
  using Key = std::tuple<Peer, UnitId, uint64_t>;
  struct Waiting {
    Lsn lsn;
    Effect effect;
  };

  static Key key_of(const Reply& reply) {
    return {reply.to, reply.entry.unit, reply.entry.sequence};
  }
  // Under the same fences the marks of the lanes that are to be given away do not rise.
  static bool says_the_same(const wire::Any& a, const wire::Any& b) {
    if (a.index() != b.index()) return false;
    const auto* one = std::get_if<wire::FenceMarks>(&a);
    const auto* other = std::get_if<wire::FenceMarks>(&b);
    return one == nullptr || one->fences == other->fences;
  }

  std::deque<Waiting> waiting_;
  std::set<Key> answers_;  // of those waiting
};

}  // namespace ballast
