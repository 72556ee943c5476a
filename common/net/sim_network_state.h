// The inside of the simulated network: nodes, the links between them, and what happens when.
// Private to common/net: sim_network.cc has time and messages, sim_links.cc the life of a
// connection.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/base/random.h"
#include "common/net/sim_network.h"

namespace ballast {

struct SimNetwork::State {
  static constexpr size_t kNobody = ~size_t{0};

  using Place = std::pair<Role, uint32_t>;
  using LinkId = size_t;

  // One direction of a connection.
  struct Direction {
    Time last_due{};              // messages in order are not delivered before it
    uint32_t waiting = 0;         // under way or unread
    uint64_t sent = 0;            // number of the last message sent
    uint64_t delivered_last = 0;  // the highest number delivered
  };

  // A connection. Side 0 made it, side 1 listened.
  struct Link {
    size_t nodes[2];
    Direction directions[2];  // directions[s]: from side s
    bool broken = false;      // nothing sent from now on arrives
  };

  // What a node knows of a connection that stands.
  struct End {
    LinkId link;
    int side;
    Peer peer;
  };

  // A connection that a node wants and makes again whenever it is gone.
  struct Wanted {
    Peer peer;
    std::string endpoint;
    bool under_way = false;  // an attempt is scheduled or its welcome is
  };

  struct Unread {
    TransportEvent event;
    Direction* direction = nullptr;  // messages: whose `waiting` it counts in
  };

  struct Node {
    Peer self;
    bool alive = true;
    std::set<std::string> endpoints{};
    std::map<Place, Wanted> wanted{};
    std::map<Place, End> ends{};
    std::deque<Unread> inbox{};
    TransportStats stats{};
  };

  enum class Happening { kConnect, kWelcome, kDeliver, kDown, kWake };

  struct Event {
    Happening kind;
    size_t node = kNobody;  // to whom it happens
    Place place{};          // kConnect: to whom it connects
    LinkId link = 0;
    int from_side = 0;
    uint64_t number = 0;  // kDeliver: of the message in its direction
    uint64_t hash = 0;    // kDeliver: when it was sent
    Message message{};
  };

  static Place place_of(const Peer& peer) { return {peer.role, peer.index}; }
  static bool concerns(const TransportEvent& event, const Place& place);

  State(uint64_t seed, const SimFaults& faults_in) : random(seed), faults(faults_in) {}

  // Calls of the transports.
  Result<std::string> bind(size_t node, const std::string& endpoint);
  Status connect(size_t node, const Peer& peer, const std::string& endpoint);
  void disconnect(size_t node, const Place& place);
  Status send(size_t node, const Peer& to, Message message);
  std::optional<TransportEvent> receive(size_t node);
  void end(size_t node, bool orderly);

  // What happens in time.
  void step();
  void happen(Event event);
  void on_connect(const Event& event);
  bool accepts(const Node& listener, const Node& connector, const Wanted& wanted) const;
  void on_welcome(const Event& event);
  void on_deliver(Event event);
  void on_down(const Event& event);

  void schedule(Time due, Event event);
  Duration latency();
  void transmit(Link& link, LinkId id, int side, Message message);
  void deliver_later(Link& link, LinkId id, int side, Time due, Message message);
  // Each side in `sides` learns it `after` all that is under way to it, or after a latency.
  void break_link(LinkId id, bool tell_connector, bool tell_listener, bool after_all);
  void tell_down(LinkId id, int side, bool after_all);
  void try_wanted();  // something changed: attempts that wait may succeed
  void inbox_push(size_t node, TransportEvent event, Direction* direction, uint64_t detail);
  bool is_partitioned(const Peer& a, const Peer& b) const;
  Status dead(size_t node) const;

  Random random;
  SimFaults faults;
  Time now{};
  uint64_t order = 0;  // events at the same time happen in the order they were made
  std::map<std::pair<Time, uint64_t>, Event> events;
  std::deque<Node> nodes;  // deques: references stay good
  std::deque<Link> links;
  std::set<std::pair<Place, Place>> partitions;
  SimCounters counters;
  uint64_t trace = 0;
};

}  // namespace ballast
