#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "server/shard/held_requests.h"
#include "server/shard/unit.h"

namespace ballast {
namespace {

// A filled node of the tree of lanes at the step being collected.
struct Slot {
  uint32_t low = 0;
  uint32_t high = 0;
  Buffer gradient;

  [[nodiscard]] bool covers(uint32_t other_low, uint32_t other_high) const {
    return low <= other_low && other_high <= high;
  }
};

// A push whose gradient lies in a slot and whose step has not closed.
struct WaitingPush {
  uint64_t sequence = 0;
  UnitEpoch epoch = 0;
  std::vector<wire::LaneStamp> lanes;
};

class SyncUnit final : public Unit {
 public:
  SyncUnit(UnitWeights weights, const LaneSchedule& schedule, UnitPolicy policy)
      : Unit(std::move(weights), schedule, policy), lane_stamps_(schedule.lanes()) {
    versions_[0] = weights_.current();
  }

  bool push(const Peer& from, wire::PushEntry entry, Time now,
            std::vector<UnitAnswer>& out) override {
    if (!well_formed(entry)) {
      ++counters_.malformed;
      return false;
    }
    const Version step = entry.lanes.front().clock;
    if (step < version_ && !policy_.applies_repeats) {
      out.push_back(
          {from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kAlready, step + 1)});
      return false;
    }
    // The first push for `step` proves that nobody needs an older version: its sender was told by
    // every sync unit that it is at `step`.
    versions_.erase(versions_.begin(), versions_.lower_bound(version_));
    fill(entry);
    if (pushes_.hold(from, now, {entry.sequence, entry.epoch, std::move(entry.lanes)})) {
      ++counters_.held;
    }
    if (!complete()) return false;
    close();
    answer_closed(out);
    return true;
  }

  void pull(const Peer& from, const wire::PullEntry& entry, Time now,
            std::vector<UnitAnswer>& out) override {
    if (entry.clock == kNever) {  // a reader that belongs to no lane: whatever is newest
      out.push_back(
          {from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kWeights, version_)});
    } else if (versions_.contains(entry.clock)) {
      out.push_back(
          {from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kWeights, entry.clock)});
    } else if (entry.clock < version_) {
      out.push_back(
          {from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kPassed, entry.clock)});
    } else if (pulls_.size() >= policy_.reads_held_max && !pulls_.contains(from, entry.sequence)) {
      out.push_back(
          {from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kBusy, entry.clock)});
    } else if (pulls_.hold(from, now, entry)) {
      ++counters_.held;
    }
  }

  void fences_rose(std::span<const Fence> fences, std::vector<UnitAnswer>& out) override {
    const auto below = [&](const wire::LaneStamp& stamp) {
      return stamp.fence < fences[stamp.lane.value()];
    };
    for (const auto& held : pushes_.take_if([&](const auto& waiting) {
           return std::any_of(waiting.entry.lanes.begin(), waiting.entry.lanes.end(), below);
         })) {
      wire::ReplyEntry reply{.sequence = held.entry.sequence,
                             .unit = id(),
                             .epoch = held.entry.epoch,
                             .code = wire::ReplyCode::kFenced,
                             .fences = {},
                             .missing = {},
                             .weights = {}};
      for (const wire::LaneStamp& stamp : held.entry.lanes) {
        if (below(stamp)) reply.fences.push_back({stamp.lane, fences[stamp.lane.value()]});
      }
      out.push_back({held.from, std::move(reply)});
    }
  }

  void forget(const Peer& peer) override {
    pushes_.forget(peer);
    pulls_.forget(peer);
  }

  void take_snapshot(uint64_t) override {}  // sync workers evaluate the version they hold
  void release_snapshot(uint64_t) override {}

  std::vector<Clock> marks() const override {
    return std::vector<Clock>(schedule_.lanes(), version_);
  }
  Version version() const override { return version_; }

  UnitImage image() const override {
    UnitImage image = weights_.image();
    image.version = version_;
    const auto previous = versions_.find(version_ - 1);
    if (previous != versions_.end()) image.previous = previous->second;
    image.ledger = ledger_;
    return image;
  }

  Status restore(UnitImage image) override {
    const Version version = image.version;
    const Buffer previous = image.previous;
    BALLAST_RETURN_IF_ERROR(restore_common(std::move(image)));
    version_ = version;
    versions_ = {{version_, weights_.current()}};
    if (!previous.empty()) versions_[version_ - 1] = previous;
    slots_.clear();
    return Status();
  }

  std::optional<Waiting> oldest_waiting() const override {
    const auto* push = pushes_.oldest();
    const auto* pull = pulls_.oldest();
    if (push == nullptr && pull == nullptr) return std::nullopt;
    const Time since = std::min(push ? push->since : kEndOfTime, pull ? pull->since : kEndOfTime);
    std::vector<uint32_t> missing;
    for (uint32_t lane = 0; lane < schedule_.lanes(); ++lane) {
      if (schedule_.present(LaneId(lane), version_) && !filled(lane)) missing.push_back(lane);
    }
    return Waiting{since, fmt::format("unit {} step {} waits for the push of lane {}", id().value(),
                                      version_, fmt::join(missing, ", "))};
  }

  UnitOccupancy occupancy() const override {
    return {.versions = versions_.size(), .pushes = pushes_.size(), .reads = pulls_.size()};
  }

  uint64_t waiting_bytes() const override { return slots_.size() * weights_.bytes(); }

 private:
  bool well_formed(const wire::PushEntry& entry) const {
    if (entry.lanes.empty() || entry.node_high > schedule_.lanes() ||
        !is_tree_node(entry.node_low, entry.node_high, schedule_.lanes())) {
      return false;
    }
    const Clock step = entry.lanes.front().clock;
    if (step > version_ || step >= schedule_.steps()) return false;
    // Exactly the lanes of the node that have rows, ascending.
    auto stamp = entry.lanes.begin();
    for (uint32_t lane = entry.node_low; lane < entry.node_high; ++lane) {
      if (!schedule_.present(LaneId(lane), step)) continue;
      if (stamp == entry.lanes.end() || stamp->lane != LaneId(lane) || stamp->clock != step ||
          !is_weight(stamp->weight)) {
        return false;
      }
      ++stamp;
    }
    return stamp == entry.lanes.end() && entry.gradient.size() == weights_.bytes() &&
           weights_.takes(entry.kind);
  }

  [[nodiscard]] bool filled(uint32_t lane) const {
    return std::any_of(slots_.begin(), slots_.end(),
                       [&](const Slot& slot) { return slot.covers(lane, lane + 1); });
  }

  // A node over filled leaves is the same bits and takes their place; a leaf under a filled node
  // brings nothing new.
  void fill(wire::PushEntry& entry) {
    for (const Slot& slot : slots_) {
      if (slot.covers(entry.node_low, entry.node_high)) return;
    }
    std::erase_if(slots_, [&](const Slot& slot) {
      return entry.node_low <= slot.low && slot.high <= entry.node_high;
    });
    slots_.push_back({entry.node_low, entry.node_high, std::move(entry.gradient)});
    for (const wire::LaneStamp& stamp : entry.lanes) {
      lane_stamps_[stamp.lane.value()] = stamp;
    }
  }

  [[nodiscard]] bool complete() const {
    for (uint32_t lane = 0; lane < schedule_.lanes(); ++lane) {
      if (schedule_.present(LaneId(lane), version_) && !filled(lane)) return false;
    }
    return true;
  }

  void close() {
    std::vector<GradientNode> nodes;
    for (const Slot& slot : slots_) nodes.push_back({slot.low, slot.high, slot.gradient.data()});
    double weight_sum = 0;  // in lane order: the same bits whoever sent first
    for (uint32_t lane = 0; lane < schedule_.lanes(); ++lane) {
      if (!schedule_.present(LaneId(lane), version_)) continue;
      weight_sum += lane_stamps_[lane].weight;
      enter(LaneId(lane), lane_stamps_[lane].rows_hash);
    }
    weights_.apply(nodes, std::move(slots_.front().gradient),
                   {weight_sum, static_cast<double>(schedule_.samples_at(version_))});
    slots_.clear();
    ++version_;
    versions_[version_] = weights_.current();
  }

  void answer_closed(std::vector<UnitAnswer>& out) {
    std::vector<Peer> served;  // a worker with several nodes needs the weights once
    for (const auto& held : pushes_.take_all()) {
      wire::ReplyEntry reply =
          answer(held.entry.sequence, held.entry.epoch, wire::ReplyCode::kClosed, version_);
      if (std::find(served.begin(), served.end(), held.from) != served.end()) {
        reply.weights = Buffer();
      } else {
        served.push_back(held.from);
      }
      out.push_back({held.from, std::move(reply)});
    }
    for (const auto& held :
         pulls_.take_if([&](const auto& waiting) { return waiting.entry.clock <= version_; })) {
      pull(held.from, held.entry, held.since, out);
    }
  }

  wire::ReplyEntry answer(uint64_t sequence, UnitEpoch epoch, wire::ReplyCode code,
                          Version version) const {
    const auto found = versions_.find(version);
    return {.sequence = sequence,
            .unit = id(),
            .epoch = epoch,
            .code = code,
            .version = version,
            .fences = {},
            .missing = {},
            .weights = found == versions_.end() ? Buffer() : found->second};
  }

  Version version_ = 0;                       // steps closed: the step being collected
  std::map<Version, Buffer> versions_;        // version_, and version_ - 1 until nobody needs it
  std::vector<Slot> slots_;                   // disjoint nodes
  std::vector<wire::LaneStamp> lane_stamps_;  // of the step being collected
  HeldRequests<WaitingPush> pushes_;
  HeldRequests<wire::PullEntry> pulls_;
};

}  // namespace

std::unique_ptr<Unit> make_sync_unit(UnitWeights weights, const LaneSchedule& schedule,
                                     UnitPolicy policy) {
  return std::make_unique<SyncUnit>(std::move(weights), schedule, policy);
}

}  // namespace ballast
