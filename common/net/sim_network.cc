#include "common/net/sim_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/net/sim_network_state.h"

namespace ballast {
namespace {

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

}  // namespace

std::string SimCounters::to_string() const {
  return fmt::format(
      "sent={} delivered={} lost={} repeated={} delayed={} reordered={} partitioned={} resets={} "
      "killed={} cut={}",
      sent, delivered, lost, repeated, delayed, reordered, partitioned, resets, killed, cut);
}

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
  void disconnect(const Peer& peer) override {
    state_.disconnect(node_, SimNetwork::State::place_of(peer));
  }
  Status send(const Peer& to, Message message) override {
    return state_.send(node_, to, std::move(message));
  }
  std::optional<TransportEvent> receive(Time) override { return state_.receive(node_); }
  Buffer allocate(const Peer&, size_t bytes) override { return Buffer::allocate(bytes); }
  void wake() override {
    state_.schedule(state_.now, {SimNetwork::State::Happening::kWake, node_});
  }
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
  for (const State::Node& node : state_->nodes) {
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
  state_->partitions.insert(std::minmax(State::place_of(a), State::place_of(b)));
}

void SimNetwork::heal(const Peer& a, const Peer& b) {
  state_->partitions.erase(std::minmax(State::place_of(a), State::place_of(b)));
  state_->try_wanted();
}

void SimNetwork::heal_all() {
  state_->partitions.clear();
  state_->try_wanted();
}

void SimNetwork::kill(const Peer& peer) {
  for (size_t i = 0; i < state_->nodes.size(); ++i) {
    const State::Node& node = state_->nodes[i];
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
