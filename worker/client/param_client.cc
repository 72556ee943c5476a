#include "worker/client/param_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "common/base/check.h"

namespace ballast {
namespace {

// Units are numbered from the front layer on, so the lower unit is the more urgent: its entries
// come first. Messages of kEntriesMax entries at most.
template <typename M>
void pack(const Peer& to, uint64_t run, M all, std::vector<ShardMessage>& out) {
  std::stable_sort(all.entries.begin(), all.entries.end(),
                   [](const auto& a, const auto& b) { return a.unit < b.unit; });
  for (size_t first = 0; first < all.entries.size(); first += wire::kEntriesMax) {
    const auto begin = all.entries.begin() + static_cast<std::ptrdiff_t>(first);
    const size_t count = std::min(wire::kEntriesMax, all.entries.size() - first);
    M part;
    part.header.run = run;
    part.entries.assign(std::make_move_iterator(begin),
                        std::make_move_iterator(begin + static_cast<std::ptrdiff_t>(count)));
    out.push_back({to, std::move(part)});
  }
}

}  // namespace

ParamClient::ParamClient(ClientConfig config, std::vector<UnitSpec> units)
    : config_(config), units_(std::move(units)) {}

bool ParamClient::set_view(const wire::View& view, Time now) {
  if (view.number <= view_.number) return false;
  view_ = view;
  places_.assign(units_.size(), {});
  for (const wire::UnitPlace& place : view.units) {
    if (place.unit.value() < places_.size()) places_[place.unit.value()] = place;
  }
  std::map<ShardId, Peer> peers;
  for (const wire::ShardAddress& shard : view.shards) {
    peers[shard.shard] = {Role::kServer, shard.shard.value(), shard.incarnation};
  }
  // What was asked of a life that is over, or told to look elsewhere, is asked again.
  for (auto& [sequence, request] : requests_) {
    const ShardId shard = places_.at(request.tag.unit.value()).shard;
    const auto before = peers_.find(shard), after = peers.find(shard);
    const bool same =
        before != peers_.end() && after != peers.end() && before->second == after->second;
    if (request.needs_view || !same) send_at(request, now);
    request.needs_view = false;
  }
  peers_ = std::move(peers);
  return true;
}

std::optional<Peer> ParamClient::shard_of(UnitId unit) const {
  if (unit.value() >= places_.size()) return std::nullopt;
  const auto found = peers_.find(places_[unit.value()].shard);
  if (found == peers_.end()) return std::nullopt;
  return found->second;
}

void ParamClient::push(RequestTag tag, wire::PushEntry entry) {
  Request request;
  request.tag = tag;
  request.kind = RequestKind::kPush;
  entry.sequence = next_sequence_;
  entry.unit = tag.unit;
  request.push = std::move(entry);
  add(std::move(request));
}

void ParamClient::pull(RequestTag tag, Clock clock, uint64_t snapshot) {
  Request request;
  request.tag = tag;
  request.kind = RequestKind::kPull;
  request.pull = {
      .sequence = next_sequence_, .unit = tag.unit, .clock = clock, .snapshot = snapshot};
  add(std::move(request));
}

void ParamClient::add(Request request) {
  asked_.emplace(request.tag, request.kind);
  requests_.emplace(next_sequence_++, std::move(request));
}

template <typename Which>
void ParamClient::erase_if(Which which) {
  std::erase_if(requests_, [&](const auto& entry) {
    if (!which(entry.second)) return false;
    asked_.erase(asked_.find({entry.second.tag, entry.second.kind}));
    return true;
  });
}

bool ParamClient::in_flight(RequestTag tag, RequestKind kind) const {
  return asked_.contains({tag, kind});
}

void ParamClient::cancel(uint64_t job) {
  erase_if([&](const Request& request) { return request.tag.job == job; });
}

void ParamClient::cancel_lane_pushes(uint64_t job, LaneId lane) {
  erase_if([&](const Request& request) {
    return request.tag.job == job && request.kind == RequestKind::kPush &&
           std::any_of(request.push.lanes.begin(), request.push.lanes.end(),
                       [&](const wire::LaneStamp& stamp) { return stamp.lane == lane; });
  });
}

std::vector<Outcome> ParamClient::handle(const Peer&, wire::Reply reply, Time now) {
  std::vector<Outcome> outcomes;
  for (wire::ReplyEntry& entry : reply.entries) {
    const auto found = requests_.find(entry.sequence);
    if (found == requests_.end() || found->second.tag.unit != entry.unit) continue;  // late
    Request& request = found->second;
    switch (entry.code) {
      case wire::ReplyCode::kMoved:
        request.needs_view = true;  // and asked again in a while, should the view be the newest
        send_at(request, now + config_.retry_after);
        break;
      case wire::ReplyCode::kEarly:
      case wire::ReplyCode::kBusy:
        send_at(request, now + config_.busy_backoff);
        break;
      case wire::ReplyCode::kRewound:
        break;  // reserved
      default:
        asked_.erase(asked_.find({request.tag, request.kind}));
        outcomes.push_back(
            {request.tag, request.kind, std::move(request.push.lanes), std::move(entry)});
        requests_.erase(found);
    }
  }
  return outcomes;
}

void ParamClient::peer_up(const Peer& shard, Time now) {
  for (auto& [sequence, request] : requests_) {
    if (request.sent && shard_of(request.tag.unit) == shard) send_at(request, now);
  }
}

void ParamClient::send_at(Request& request, Time due) {
  request.due = due;
  request.sent = false;
}

void ParamClient::tick(Time now) {
  for (auto& [sequence, request] : requests_) {
    if (request.sent && request.due <= now) {
      request.sent = false;
      ++resent_;
    }
  }
}

std::vector<ShardMessage> ParamClient::flush(Time now) {
  struct Batch {
    wire::Push push;
    wire::Pull pull;
  };
  std::map<ShardId, Batch> batches;
  for (auto& [sequence, request] : requests_) {
    if (request.sent || request.due > now || !shard_of(request.tag.unit)) continue;
    const wire::UnitPlace& place = places_[request.tag.unit.value()];
    Batch& batch = batches[place.shard];
    if (request.kind == RequestKind::kPush) {
      request.push.epoch = place.epoch;
      batch.push.entries.push_back(request.push);  // shares the gradient
    } else {
      request.pull.epoch = place.epoch;
      batch.pull.entries.push_back(request.pull);
    }
    if (request.since == Time{}) request.since = now;
    request.due = now + config_.retry_after;
    request.sent = true;
  }
  std::vector<ShardMessage> messages;
  for (auto& [shard, batch] : batches) {
    pack(peers_.at(shard), config_.run, std::move(batch.push), messages);
    pack(peers_.at(shard), config_.run, std::move(batch.pull), messages);
  }
  return messages;
}

std::optional<Time> ParamClient::next_due() const {
  std::optional<Time> next;
  for (const auto& [sequence, request] : requests_) {
    if (!shard_of(request.tag.unit)) continue;  // nothing to do before a view says where it lives
    if (!next || request.due < *next) next = request.due;
  }
  return next;
}

std::optional<ParamClient::Waiting> ParamClient::oldest_waiting() const {
  const Request* oldest = nullptr;
  for (const auto& [sequence, request] : requests_) {
    if (request.since != Time{} && (oldest == nullptr || request.since < oldest->since)) {
      oldest = &request;
    }
  }
  if (oldest == nullptr) return std::nullopt;
  const bool is_push = oldest->kind == RequestKind::kPush;
  const Clock clock = is_push ? oldest->push.lanes.front().clock : oldest->pull.clock;
  return Waiting{oldest->since,
                 fmt::format("shard {}: {} of unit {} at {}",
                             places_.at(oldest->tag.unit.value()).shard.value(),
                             is_push ? "push" : "pull", oldest->tag.unit.value(),
                             clock == kNever ? "its newest" : fmt::format("clock {}", clock))};
}

}  // namespace ballast
