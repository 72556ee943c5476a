#include "common/net/sim_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/random.h"

namespace ballast {
namespace {

constexpr size_t kNobody = ~size_t{0};
// From a connection's end to the next attempt.
constexpr Duration kRetryPause = 1ms;

using Place = std::pair<Role, uint32_t>;
using LinkId = size_t;

Place place_of(const Peer& peer) {
  return {peer.role, peer.index};
}

uint64_t hash_of(const Message& message) {
  Hasher hasher;
  hasher.add(uint64_t{message.envelope.size()});
  hasher.add(message.envelope.bytes());
  for (const Buffer& payload : message.payloads) {
    hasher.add(uint64_t{payload.size()});
    hasher.add(payload.bytes());
  }
  return hasher.digest();
}

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

bool concerns(const TransportEvent& event, const Place& place) {
  if (const auto* in = std::get_if<MessageIn>(&event)) return place_of(in->from) == place;
  if (const auto* up = std::get_if<PeerUp>(&event)) return place_of(up->peer) == place;
  if (const auto* down = std::get_if<PeerDown>(&event)) return place_of(down->peer) == place;
  return false;
}

}  // namespace

std::string SimCounters::to_string() const {
  return fmt::format(
      "sent={} delivered={} lost={} repeated={} delayed={} reordered={} partitioned={} resets={} "
      "killed={} cut={}",
      sent, delivered, lost, repeated, delayed, reordered, partitioned, resets, killed, cut);
}

struct SimNetwork::State {
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

// --- time

void SimNetwork::State::schedule(Time due, Event event) {
  events.emplace(std::pair(due, order++), std::move(event));
}

Duration SimNetwork::State::latency() {
  return Duration(random.between(faults.latency_min.count(), faults.latency_max.count()));
}

void SimNetwork::State::step() {
  auto first = events.begin();
  now = first->first.first;
  Event event = std::move(first->second);
  events.erase(first);
  happen(std::move(event));
}

void SimNetwork::State::happen(Event event) {
  if (event.kind == Happening::kDeliver) return on_deliver(std::move(event));
  if (!nodes[event.node].alive) return;
  switch (event.kind) {
    case Happening::kConnect:
      return on_connect(event);
    case Happening::kWelcome:
      return on_welcome(event);
    case Happening::kDown:
      return on_down(event);
    case Happening::kWake:
      return inbox_push(event.node, Woken{}, nullptr, 0);
    case Happening::kDeliver:
      return;
  }
}

void SimNetwork::State::inbox_push(size_t node, TransportEvent event, Direction* direction,
                                   uint64_t detail) {
  const Peer& self = nodes[node].self;
  trace = hash_numbers({trace, static_cast<uint64_t>(now.time_since_epoch().count()),
                        static_cast<uint64_t>(self.role), self.index, self.incarnation,
                        event.index(), detail});
  nodes[node].inbox.push_back({std::move(event), direction});
}

// --- connections

Status SimNetwork::State::dead(size_t node) const {
  return Status(Code::kUnavailable, fmt::format("{} was killed", to_string(nodes[node].self)));
}

Result<std::string> SimNetwork::State::bind(size_t node, const std::string& endpoint) {
  if (!nodes[node].alive) return dead(node);
  for (const Node& other : nodes) {
    if (!other.endpoints.contains(endpoint)) continue;
    return Status(Code::kInvalidInput,
                  fmt::format("cannot listen on {}: in use by {}; stop it, or choose another",
                              endpoint, to_string(other.self)));
  }
  nodes[node].endpoints.insert(endpoint);
  try_wanted();
  return endpoint;
}

Status SimNetwork::State::connect(size_t node, const Peer& peer, const std::string& endpoint) {
  if (!nodes[node].alive) return dead(node);
  if (endpoint.empty()) return Status(Code::kInvalidInput, "endpoint \"\": expected a name");
  disconnect(node, place_of(peer));
  nodes[node].wanted[place_of(peer)] = {peer, endpoint};
  try_wanted();
  return Status();
}

void SimNetwork::State::try_wanted() {
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].alive) continue;
    for (auto& [place, wanted] : nodes[i].wanted) {
      if (wanted.under_way || nodes[i].ends.contains(place)) continue;
      wanted.under_way = true;
      Event event{Happening::kConnect, i, place};
      schedule(now + latency(), std::move(event));
    }
  }
}

bool SimNetwork::State::accepts(const Node& listener, const Node& connector,
                                const Wanted& wanted) const {
  if (!listener.alive || !listener.endpoints.contains(wanted.endpoint)) return false;
  if (is_partitioned(listener.self, connector.self)) return false;
  if (!listener.self.same_place(wanted.peer)) return false;
  if (wanted.peer.incarnation != 0 && wanted.peer != listener.self) return false;
  if (listener.wanted.contains(place_of(connector.self))) return false;
  const auto old = listener.ends.find(place_of(connector.self));
  return old == listener.ends.end() || old->second.peer.incarnation <= connector.self.incarnation;
}

void SimNetwork::State::on_connect(const Event& event) {
  Node& connector = nodes[event.node];
  const auto found = connector.wanted.find(event.place);
  if (found == connector.wanted.end() || connector.ends.contains(event.place)) return;
  Wanted& wanted = found->second;
  const auto listener =
      std::ranges::find_if(nodes, [&](const Node& n) { return accepts(n, connector, wanted); });
  if (listener == nodes.end()) {
    wanted.under_way = false;  // until somebody binds or a partition heals
    return;
  }
  const size_t listener_index = static_cast<size_t>(listener - nodes.begin());
  const Place from = place_of(connector.self);
  if (const auto old = listener->ends.find(from); old != listener->ends.end()) {
    inbox_push(listener_index, PeerDown{old->second.peer}, nullptr, 0);
    break_link(old->second.link, true, false, false);
  }
  const LinkId id = links.size();
  links.push_back({{event.node, listener_index}, {}, false});
  listener->ends[from] = {id, 1, connector.self};
  inbox_push(listener_index, PeerUp{connector.self}, nullptr, 0);
  Event welcome{Happening::kWelcome, event.node, event.place, id};
  links[id].directions[1].last_due = now + latency();  // no message overtakes it
  schedule(links[id].directions[1].last_due, std::move(welcome));
}

void SimNetwork::State::on_welcome(const Event& event) {
  Node& connector = nodes[event.node];
  const Link& link = links[event.link];
  const auto found = connector.wanted.find(event.place);
  if (found == connector.wanted.end() || connector.ends.contains(event.place)) return;
  found->second.under_way = false;
  if (link.broken) return try_wanted();
  const Peer& peer = nodes[link.nodes[1]].self;
  connector.ends[event.place] = {event.link, 0, peer};
  inbox_push(event.node, PeerUp{peer}, nullptr, 0);
}

void SimNetwork::State::break_link(LinkId id, bool tell_connector, bool tell_listener,
                                   bool after_all) {
  links[id].broken = true;
  if (tell_connector) tell_down(id, 0, after_all);
  if (tell_listener) tell_down(id, 1, after_all);
}

void SimNetwork::State::tell_down(LinkId id, int side, bool after_all) {
  const Link& link = links[id];
  Time due = now + latency();
  if (after_all) due = std::max(due, link.directions[1 - side].last_due);
  Event event{Happening::kDown, link.nodes[side]};
  event.link = id;
  event.from_side = 1 - side;
  schedule(due, std::move(event));
}

void SimNetwork::State::on_down(const Event& event) {
  Node& node = nodes[event.node];
  const auto end = std::ranges::find_if(
      node.ends, [&](const auto& entry) { return entry.second.link == event.link; });
  if (end == node.ends.end()) return;
  const Place place = end->first;
  inbox_push(event.node, PeerDown{end->second.peer}, nullptr, 0);
  node.ends.erase(end);
  const auto wanted = node.wanted.find(place);
  if (wanted == node.wanted.end() || wanted->second.under_way) return;
  wanted->second.under_way = true;
  Event again{Happening::kConnect, event.node, place};
  schedule(now + kRetryPause + latency(), std::move(again));
}

void SimNetwork::State::disconnect(size_t node, const Place& place) {
  Node& me = nodes[node];
  me.wanted.erase(place);
  std::erase_if(me.inbox, [&](const Unread& unread) {
    if (!concerns(unread.event, place)) return false;
    if (unread.direction != nullptr) --unread.direction->waiting;
    return true;
  });
  const auto end = me.ends.find(place);
  if (end == me.ends.end()) return;
  const bool is_connector = end->second.side == 0;
  break_link(end->second.link, !is_connector, is_connector, true);
  me.ends.erase(end);
}

void SimNetwork::State::end(size_t node, bool orderly) {
  Node& me = nodes[node];
  if (!me.alive) return;
  me.alive = false;
  if (!orderly) ++counters.killed;
  for (const auto& [place, end] : me.ends) {
    const bool is_connector = end.side == 0;
    break_link(end.link, !is_connector, is_connector, orderly);
  }
  for (const Unread& unread : me.inbox) {
    if (unread.direction != nullptr) --unread.direction->waiting;
  }
  me.ends.clear();
  me.wanted.clear();
  me.endpoints.clear();
  me.inbox.clear();
}

// --- messages

bool SimNetwork::State::is_partitioned(const Peer& a, const Peer& b) const {
  return partitions.contains(std::minmax(place_of(a), place_of(b)));
}

Status SimNetwork::State::send(size_t node, const Peer& to, Message message) {
  BALLAST_CHECK_MSG(!message.envelope.empty(), "a message has an envelope");
  Node& me = nodes[node];
  if (!me.alive) return dead(node);
  if (message.payloads.size() > kPayloadsMax) {
    return Status(Code::kInvalidInput,
                  fmt::format("message to {}: {} payloads, at most {}", ballast::to_string(to),
                              message.payloads.size(), kPayloadsMax));
  }
  const auto end = me.ends.find(place_of(to));
  if (end == me.ends.end() || (to.incarnation != 0 && to != end->second.peer)) {
    return Status(Code::kUnavailable, fmt::format("{} is not connected", ballast::to_string(to)));
  }
  Link& link = links[end->second.link];
  if (link.directions[end->second.side].waiting >= faults.queue_messages_max) {
    ++me.stats.busy;
    return Status(Code::kExhausted, fmt::format("{} is busy: {} messages wait for it",
                                                ballast::to_string(to), faults.queue_messages_max));
  }
  ++me.stats.messages_out;
  me.stats.bytes_out += message.bytes();
  ++counters.sent;
  transmit(link, end->second.link, end->second.side, std::move(message));
  return Status();
}

void SimNetwork::State::transmit(Link& link, LinkId id, int side, Message message) {
  // Always the same number of draws, so that one fault's chance does not move the others.
  const bool is_reset = random.chance(faults.reset);
  const bool is_lost = random.chance(faults.loss);
  const bool is_repeated = random.chance(faults.repeat);
  const bool is_delayed = random.chance(faults.delay);
  const bool is_reordered = random.chance(faults.reorder);
  const Duration usual = latency();
  const Duration extra(random.between(0, faults.delay_max.count()));
  const Duration repeat_after(random.between(0, faults.delay_max.count()));

  Direction& direction = link.directions[side];
  ++direction.sent;
  if (link.broken) {
    ++counters.cut;
    return;
  }
  if (is_reset) {
    ++counters.resets;
    ++counters.cut;
    return break_link(id, true, true, false);
  }
  if (is_partitioned(nodes[link.nodes[0]].self, nodes[link.nodes[1]].self)) {
    ++counters.partitioned;
    return;
  }
  if (is_lost) {
    ++counters.lost;
    return;
  }
  Time due = now + usual;
  if (is_delayed) ++counters.delayed;
  if (is_delayed || is_reordered) due += extra;
  if (!is_reordered) direction.last_due = due = std::max(due, direction.last_due);
  if (is_repeated) {
    ++counters.repeated;
    deliver_later(link, id, side, due + repeat_after, message.deep_copy());
  }
  deliver_later(link, id, side, due, std::move(message));
}

void SimNetwork::State::deliver_later(Link& link, LinkId id, int side, Time due, Message message) {
  Event event{Happening::kDeliver, link.nodes[1 - side]};
  event.link = id;
  event.from_side = side;
  event.number = link.directions[side].sent;
  event.hash = hash_of(message);
  event.message = std::move(message);
  ++link.directions[side].waiting;
  schedule(due, std::move(event));
}

void SimNetwork::State::on_deliver(Event event) {
  Link& link = links[event.link];
  Direction& direction = link.directions[event.from_side];
  Node& node = nodes[event.node];
  const Peer& from = nodes[link.nodes[event.from_side]].self;
  BALLAST_CHECK_MSG(hash_of(event.message) == event.hash,
                    ballast::to_string(from) + " changed a message that it had sent");
  const auto end = node.ends.find(place_of(from));
  const bool is_cut = !node.alive || end == node.ends.end() || end->second.link != event.link;
  const bool is_stopped = !is_cut && is_partitioned(from, node.self);
  if (is_cut || is_stopped) {
    ++(is_cut ? counters.cut : counters.partitioned);
    --direction.waiting;
    return;
  }
  if (event.number < direction.delivered_last) ++counters.reordered;
  direction.delivered_last = std::max(direction.delivered_last, event.number);
  ++counters.delivered;
  // A copy, as the wire makes one: nobody sees the sender's memory.
  inbox_push(event.node, MessageIn{from, event.message.deep_copy()}, &direction, event.hash);
}

std::optional<TransportEvent> SimNetwork::State::receive(size_t node) {
  Node& me = nodes[node];
  if (me.inbox.empty()) return std::nullopt;
  Unread unread = std::move(me.inbox.front());
  me.inbox.pop_front();
  if (unread.direction != nullptr) --unread.direction->waiting;
  if (const auto* in = std::get_if<MessageIn>(&unread.event)) {
    ++me.stats.messages_in;
    me.stats.bytes_in += in->message.bytes();
  }
  return std::move(unread.event);
}

// --- the door

class SimTransport final : public Transport {
 public:
  // `state` outlives the transport: the network's owner sees to it.
  SimTransport(SimNetwork::State& state, size_t node)
      : state_(state), node_(node), self_(state.nodes[node].self) {}
  ~SimTransport() override { state_.end(node_, true); }

  const Peer& self() const override { return self_; }
  Result<std::string> bind(const std::string& endpoint) override {
    return state_.bind(node_, endpoint);
  }
  Status connect(const Peer& peer, const std::string& endpoint) override {
    return state_.connect(node_, peer, endpoint);
  }
  void disconnect(const Peer& peer) override { state_.disconnect(node_, place_of(peer)); }
  Status send(const Peer& to, Message message) override {
    return state_.send(node_, to, std::move(message));
  }
  std::optional<TransportEvent> receive(Time) override { return state_.receive(node_); }
  Buffer allocate(const Peer&, size_t bytes) override { return Buffer::allocate(bytes); }
  void wake() override { state_.schedule(state_.now, Event{Happening::kWake, node_}); }
  TransportStats stats() const override { return state_.nodes[node_].stats; }

 private:
  SimNetwork::State& state_;
  const size_t node_;
  const Peer self_;
};

SimNetwork::SimNetwork(uint64_t seed, const SimFaults& faults)
    : state_(std::make_unique<State>(seed, faults)) {}
SimNetwork::~SimNetwork() = default;

std::unique_ptr<Transport> SimNetwork::make(const Peer& self) {
  BALLAST_CHECK(self.incarnation != 0);
  for (const Node& node : state_->nodes) {
    BALLAST_CHECK_MSG(!node.alive || !node.self.same_place(self), ballast::to_string(self));
  }
  state_->nodes.push_back({self});
  return std::make_unique<SimTransport>(*state_, state_->nodes.size() - 1);
}

Time SimNetwork::now() const {
  return state_->now;
}

std::optional<Time> SimNetwork::next_event() const {
  if (state_->events.empty()) return std::nullopt;
  return state_->events.begin()->first.first;
}

void SimNetwork::advance_to(Time time) {
  BALLAST_CHECK(time >= state_->now);
  while (!state_->events.empty() && state_->events.begin()->first.first <= time) state_->step();
  state_->now = time;
}

void SimNetwork::partition(const Peer& a, const Peer& b) {
  state_->partitions.insert(std::minmax(place_of(a), place_of(b)));
}

void SimNetwork::heal(const Peer& a, const Peer& b) {
  state_->partitions.erase(std::minmax(place_of(a), place_of(b)));
  state_->try_wanted();
}

void SimNetwork::heal_all() {
  state_->partitions.clear();
  state_->try_wanted();
}

void SimNetwork::kill(const Peer& peer) {
  for (size_t i = 0; i < state_->nodes.size(); ++i) {
    const Node& node = state_->nodes[i];
    if (node.alive && node.self.same_place(peer)) return state_->end(i, false);
  }
}

void SimNetwork::set_faults(const SimFaults& faults) {
  state_->faults = faults;
}

const SimCounters& SimNetwork::counters() const {
  return state_->counters;
}

uint64_t SimNetwork::trace_hash() const {
  return state_->trace;
}

}  // namespace ballast
