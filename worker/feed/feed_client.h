// FeedClient: the decider of which feeder is asked for which portion. It asks ahead of need, asks
// another feeder when an answer is late, and says "read it yourself" when nobody can give a
// portion. A state machine without thread, socket or clock: same events, same effects. Owner
// thread: the one that owns the transport.
//
// Every portion wanted ends in exactly one Deliver or ReadLocally unless it is dropped before. What
// comes late, twice or unasked is dropped: an answer is a pure function of its run, so whoever made
// it, the bytes are the same. A lane has a home feeder, so that each reads the blocks of few lanes;
// orders in memory spread over all.
//
// A feeder is passed over while it is busy (a moment) or late (until it answers a portion that is
// asked of it beside whoever gives it), and for as long as it lives when it is of another job or
// data set.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/time.h"
#include "common/net/message.h"
#include "worker/feed/portion_rows.h"

namespace ballast {

struct FeedClientConfig {
  uint32_t feeders = 0;
  wire::FeedStamp stamp;
  PortionShape shape;
  bool lane_has_home = true;      // blocks are streamed: one feeder for all portions of a lane
  uint32_t asks_per_feeder = 16;  // without an answer; what it accepts of one worker
  // How long the first portions wait for the first feeder to come up.
  Duration first_feeder = 2s;
  // A feeder is late that gives no answer for much longer than answers took so far, within these;
  // `lease_first`: nothing known.
  Duration lease_least = 250ms;
  Duration lease_first = 5s;
  Duration lease_most = 30s;
  Duration busy_pause = 20ms;
  Duration busy_most = 1s;  // a portion that finds only busy feeders for so long is read locally
  Duration late_pause_least = 1s;  // doubles up to the most
  Duration late_pause_most = 30s;
};

namespace feed_event {
struct Want {
  wire::RowRun run;
};
// Nobody waits for it any more.
struct Drop {
  wire::RowRun run;
};
struct PeerUp {
  Peer feeder;
};
struct PeerDown {
  Peer feeder;
};
struct Received {
  Peer from;
  wire::FeedAnswer answer;
};
struct Tick {};
}  // namespace feed_event
using FeedEvent = std::variant<feed_event::Want, feed_event::Drop, feed_event::PeerUp,
                               feed_event::PeerDown, feed_event::Received, feed_event::Tick>;

namespace feed_effect {
struct Send {
  Peer to;
  wire::FeedAsk ask;
};
struct Deliver {
  wire::FeedAnswer rows;
};
struct ReadLocally {
  wire::RowRun run;
};
struct Note {
  std::string text;
};
}  // namespace feed_effect
using FeedEffect = std::variant<feed_effect::Send, feed_effect::Deliver, feed_effect::ReadLocally,
                                feed_effect::Note>;
using FeedEffects = std::vector<FeedEffect>;

// What one feeder has given to this worker.
struct FeederCount {
  bool up = false;  // and of our job
  uint64_t portions = 0;
  uint64_t rows = 0;
};

class FeedClient {
 public:
  FeedClient(FeedClientConfig config, Time now);

  void handle(FeedEvent event, Time now, FeedEffects& out);
  // When a Tick has something to do; kEndOfTime: only another event can.
  [[nodiscard]] Time next_due() const;

  [[nodiscard]] std::vector<FeederCount> counts() const;
  [[nodiscard]] size_t wanted() const { return wanted_.size(); }

 private:
  struct Feeder {
    std::optional<Peer> life;
    bool refused = false;
    Time busy_until{};  // 0: not busy
    // Was late and has not answered since: nothing waits for it, but one portion at a time is asked
    // of it too, to see whether it is back.
    bool late = false;
    Time probe_at{};
    Duration pause{};
    uint32_t asked = 0;     // without an answer
    uint64_t asks = 0;      // ever sent to this life
    uint64_t answered = 0;  // the newest of those that was answered
    Time heard{};           // its last answer
    // Of the time it takes for one more answer, as TCP estimates round trips (RFC 6298); 0: not
    // known.
    Duration mean{};
    Duration deviation{};
    uint64_t portions = 0;
    uint64_t rows = 0;
  };
  struct Wanted {
    uint32_t asks = 0;
    std::optional<uint32_t> of;      // who is asked now
    std::optional<uint32_t> not_of;  // who was asked last and did not give it
    uint64_t number = 0;             // of that ask, among those to its feeder
    Time asked_at{};
    Time give_up_at{};  // while nobody is asked
    std::optional<Time> busy_since;
  };

  void on(feed_event::Want event, Time now, FeedEffects& out);
  void on(feed_event::Drop event, Time now, FeedEffects& out);
  void on(feed_event::PeerUp event, Time now, FeedEffects& out);
  void on(feed_event::PeerDown event, Time now, FeedEffects& out);
  void on(feed_event::Received event, Time now, FeedEffects& out);
  void on(feed_event::Tick event, Time now, FeedEffects& out);

  // Asks somebody, gives up, or leaves the portion waiting. True: it is given up and may be erased.
  bool settle(const wire::RowRun& run, Wanted& portion, Time now, FeedEffects& out);
  void settle_waiting(Time now, FeedEffects& out);
  void probe(const wire::RowRun& run, Time now, FeedEffects& out);
  void ask(uint32_t index, const wire::RowRun& run, Wanted& portion, Time now, FeedEffects& out);
  void take_rows(uint32_t index, wire::FeedAnswer answer, Time now, FeedEffects& out);
  void take_excuse(uint32_t index, const wire::FeedAnswer& answer, Time now, FeedEffects& out);
  void learn(Feeder& feeder, const Wanted& portion, Time now);
  void take_back(Wanted& portion);
  void give_back(Wanted& portion, Time now);
  void give_back_all(uint32_t feeder, Time now);
  void refuse(uint32_t feeder, const std::string& why, Time now, FeedEffects& out);
  void note_late(uint32_t feeder, Time now, FeedEffects& out);

  [[nodiscard]] std::vector<uint32_t> preferred(const wire::RowRun& run) const;
  [[nodiscard]] static bool usable(const Feeder& feeder);
  [[nodiscard]] bool worth_waiting(Time now) const;
  [[nodiscard]] Duration lease(const Feeder& feeder) const;
  [[nodiscard]] Time late_at(const Wanted& portion) const;
  [[nodiscard]] bool lost(const Wanted& portion) const;
  [[nodiscard]] std::optional<uint32_t> feeder_of(const Peer& peer) const;

  static constexpr uint32_t kAsksMax = 3;

  const FeedClientConfig config_;
  const Time begun_;
  bool any_came_ = false;
  std::vector<Feeder> feeders_;
  std::map<wire::RowRun, Wanted> wanted_;
};

}  // namespace ballast
