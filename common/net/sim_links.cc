// The life of a connection in the simulated network: wanted, made, welcomed, broken, made again.
#include <fmt/format.h>

#include <algorithm>

#include "common/net/sim_network_state.h"

namespace ballast {
namespace {

// From a connection's end to the next attempt.
constexpr Duration kRetryPause = 1ms;

}  // namespace

bool SimNetwork::State::concerns(const TransportEvent& event, const Place& place) {
  if (const auto* in = std::get_if<MessageIn>(&event)) return place_of(in->from) == place;
  if (const auto* up = std::get_if<PeerUp>(&event)) return place_of(up->peer) == place;
  if (const auto* down = std::get_if<PeerDown>(&event)) return place_of(down->peer) == place;
  return false;
}

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

}  // namespace ballast
