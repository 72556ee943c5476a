#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "server/shard/held_requests.h"
#include "server/shard/unit.h"

namespace ballast {
namespace {

// Staleness above this is counted in the last bucket of the histogram.
constexpr size_t kStalenessBuckets = 256;

class AsyncUnit final : public Unit {
 public:
  AsyncUnit(UnitWeights weights, const LaneSchedule& schedule, std::optional<uint32_t> staleness,
            AsyncScaling scaling, uint32_t parked_max, UnitPolicy policy)
      : Unit(std::move(weights), schedule, policy),
        staleness_(staleness),
        scaling_(scaling),
        parked_max_(parked_max) {
    for (uint32_t lane = 0; lane < schedule.lanes(); ++lane) {
      marks_.push_back(schedule.present_from(LaneId(lane), 0));
    }
  }

  bool push(const Peer& from, wire::PushEntry entry, Time now,
            std::vector<UnitAnswer>& out) override {
    if (!well_formed(entry)) {
      ++counters_.malformed;
      return false;
    }
    const Fate fate = try_push(from, entry, out);
    if (fate == Fate::kEarly) park(from, entry, now, out);
    if (fate != Fate::kApplied) return false;
    retry_parked(out);
    serve_reads(out);
    return true;
  }

  void pull(const Peer& from, const wire::PullEntry& entry, Time now,
            std::vector<UnitAnswer>& out) override {
    if (entry.snapshot != 0) {
      const auto found = snapshots_.find(entry.snapshot);
      const bool here = found != snapshots_.end();
      wire::ReplyEntry reply = answer(entry.sequence, entry.epoch,
                                      here ? wire::ReplyCode::kWeights : wire::ReplyCode::kPassed);
      reply.weights = here ? found->second : Buffer();
      out.push_back({from, std::move(reply)});
    } else if (may_read(entry.clock)) {
      out.push_back({from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kWeights)});
    } else if (reads_.size() >= policy_.reads_held_max && !reads_.contains(from, entry.sequence)) {
      wire::ReplyEntry reply = answer(entry.sequence, entry.epoch, wire::ReplyCode::kBusy);
      reply.weights = Buffer();
      out.push_back({from, std::move(reply)});
    } else if (reads_.hold(from, now, entry)) {
      ++counters_.held;
    }
  }

  void fences_rose(std::span<const Fence> fences, std::vector<UnitAnswer>& out) override {
    for (auto& held : parked_.take_all()) {
      wire::ReplyEntry reply =
          answer(held.entry.sequence, held.entry.epoch, wire::ReplyCode::kFenced);
      reply.weights = Buffer();
      for (const wire::LaneStamp& stamp : held.entry.lanes) {
        const Fence fence = fences[stamp.lane.value()];
        if (stamp.fence < fence) reply.fences.push_back({stamp.lane, fence});
      }
      if (reply.fences.empty()) {
        parked_.hold(held.from, held.since, std::move(held.entry));
      } else {
        out.push_back({held.from, std::move(reply)});
      }
    }
  }

  void forget(const Peer& peer) override {
    parked_.forget(peer);
    reads_.forget(peer);
  }

  // The version that is current now stays readable: versions are immutable, so this copies nothing.
  void take_snapshot(uint64_t id) override {
    if (id <= released_ || (!snapshots_.empty() && id < snapshots_.rbegin()->first)) return;
    snapshots_.erase(snapshots_.begin(), snapshots_.lower_bound(id));
    snapshots_.try_emplace(id, weights_.current());
  }
  void release_snapshot(uint64_t id) override {
    released_ = std::max(released_, id);
    snapshots_.erase(snapshots_.begin(), snapshots_.upper_bound(id));
  }

  std::vector<Clock> marks() const override { return marks_; }
  Version version() const override { return version_; }

  UnitImage image() const override {
    UnitImage image = weights_.image();
    image.version = version_;
    image.marks = marks_;
    image.ledger = ledger_;
    return image;
  }

  Status restore(UnitImage image) override {
    if (image.marks.size() != marks_.size()) {
      return Status(Code::kDataLoss,
                    fmt::format("unit {}: image has marks of {} lanes, expected {}", id().value(),
                                image.marks.size(), marks_.size()));
    }
    std::vector<Clock> marks = image.marks;
    const Version version = image.version;
    BALLAST_RETURN_IF_ERROR(restore_common(std::move(image)));
    marks_ = std::move(marks);
    version_ = version;
    return Status();
  }

  std::span<const uint64_t> staleness() const override { return staleness_counts_; }

  std::optional<Waiting> oldest_waiting() const override {
    if (const auto* read = reads_.oldest()) {
      const Clock bound =
          read->entry.clock - std::min<Clock>(read->entry.clock, staleness_.value_or(0));
      std::vector<uint32_t> slow;
      for (uint32_t lane = 0; lane < marks_.size(); ++lane) {
        if (marks_[lane] < bound) slow.push_back(lane);
      }
      return Waiting{read->since,
                     fmt::format("unit {}: a read at clock {} waits for lane {} to reach {}",
                                 id().value(), read->entry.clock, fmt::join(slow, ", "), bound)};
    }
    if (const auto* push = parked_.oldest()) {
      return Waiting{
          push->since,
          fmt::format("unit {}: a push for clock {} waits for an earlier one of its lanes",
                      id().value(), push->entry.lanes.front().clock)};
    }
    return std::nullopt;
  }

  UnitOccupancy occupancy() const override {
    return {.parked = parked_.size(), .reads = reads_.size(), .snapshots = snapshots_.size()};
  }

  uint64_t waiting_bytes() const override { return parked_.size() * weights_.bytes(); }

 private:
  bool well_formed(const wire::PushEntry& entry) const {
    if (entry.lanes.empty() || entry.gradient.size() != weights_.bytes() ||
        !weights_.takes(entry.kind)) {
      return false;
    }
    const Clock clock = entry.lanes.front().clock;
    for (size_t i = 0; i < entry.lanes.size(); ++i) {
      const wire::LaneStamp& stamp = entry.lanes[i];
      if (stamp.lane.value() >= schedule_.lanes() || stamp.clock != clock ||
          !is_weight(stamp.weight) || !schedule_.present(stamp.lane, clock) ||
          (i > 0 && stamp.lane <= entry.lanes[i - 1].lane)) {
        return false;
      }
    }
    return true;
  }

  enum class Fate { kApplied, kNotApplied, kEarly };

  // Answers the push, unless it is early. Tested in this order: all there, some there, a gap.
  Fate try_push(const Peer& from, wire::PushEntry& entry, std::vector<UnitAnswer>& out) {
    const Clock clock = entry.lanes.front().clock;
    std::vector<LaneId> missing;
    bool gap = false;
    for (const wire::LaneStamp& stamp : entry.lanes) {
      const Clock mark = marks_[stamp.lane.value()];
      if (mark <= clock || policy_.applies_repeats) missing.push_back(stamp.lane);
      gap = gap || mark < clock;
    }
    if (missing.empty()) {
      out.push_back({from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kAlready)});
      return Fate::kNotApplied;
    }
    if (missing.size() < entry.lanes.size()) {
      wire::ReplyEntry reply = answer(entry.sequence, entry.epoch, wire::ReplyCode::kSplit);
      reply.missing = std::move(missing);
      out.push_back({from, std::move(reply)});
      return Fate::kNotApplied;
    }
    if (gap) return Fate::kEarly;
    apply(entry);
    out.push_back({from, answer(entry.sequence, entry.epoch, wire::ReplyCode::kApplied)});
    return Fate::kApplied;
  }

  void park(const Peer& from, wire::PushEntry& entry, Time now, std::vector<UnitAnswer>& out) {
    if (parked_.size() < parked_max_ || parked_.contains(from, entry.sequence)) {
      if (parked_.hold(from, now, std::move(entry))) ++counters_.parked;
      return;
    }
    wire::ReplyEntry reply = answer(entry.sequence, entry.epoch, wire::ReplyCode::kEarly);
    reply.weights = Buffer();
    out.push_back({from, std::move(reply)});
  }

  void apply(wire::PushEntry& entry) {
    PushSums sums;
    for (const wire::LaneStamp& stamp : entry.lanes) {
      sums.weight += stamp.weight;
      sums.samples += schedule_.samples_of(stamp.lane, stamp.clock);
    }
    const uint64_t staleness = version_ - std::min(version_, entry.base_version);
    const GradientNode whole{0, schedule_.lanes(), entry.gradient.data()};
    weights_.apply({&whole, 1}, std::move(entry.gradient), sums,
                   damping(sums, entry.lanes.front().clock, staleness));
    ++version_;
    for (const wire::LaneStamp& stamp : entry.lanes) {
      marks_[stamp.lane.value()] = schedule_.present_from(stamp.lane, stamp.clock + 1);
      enter(stamp.lane, stamp.rows_hash);
    }
    const size_t bucket = std::min<uint64_t>(staleness, kStalenessBuckets - 1);
    if (bucket >= staleness_counts_.size()) staleness_counts_.resize(bucket + 1, 0);
    ++staleness_counts_[bucket];
  }

  [[nodiscard]] double damping(const PushSums& sums, Clock clock, uint64_t staleness) const {
    double factor = 1;
    if (scaling_.by_share) factor *= share_of(sums, clock);
    if (scaling_.by_staleness) factor /= 1.0 + static_cast<double>(staleness);
    return factor;
  }

  // A push's part of what the whole step weighs, which is as many samples of the mean weight so
  // far. In a push of few rows the weights would cancel otherwise: sum w g / sum w of one row is g.
  // No more than a whole step: one row may weigh more than the mean of a step's rows.
  [[nodiscard]] double share_of(const PushSums& sums, Clock clock) const {
    const double samples = weights_.samples_applied() + sums.samples;
    const double weight = weights_.weight_applied() + sums.weight;
    if (!(weight > 0)) return 1;  // nothing is applied
    const double whole = static_cast<double>(schedule_.samples_at(clock));
    return std::min(1.0, sums.weight / whole * (samples / weight));
  }

  // A mark rose, so parked pushes may fit now; each that is applied raises marks again.
  void retry_parked(std::vector<UnitAnswer>& out) {
    bool again = true;
    while (again) {
      again = false;
      for (auto& held : parked_.take_all()) {
        const Fate fate = try_push(held.from, held.entry, out);
        if (fate == Fate::kEarly) parked_.hold(held.from, held.since, std::move(held.entry));
        again = again || fate == Fate::kApplied;
      }
    }
  }

  // What readers are told: every lane with rows left is at least here.
  [[nodiscard]] Clock least_clock() const {
    const Clock least = *std::min_element(marks_.begin(), marks_.end());
    return least == kNever ? kNever : least + policy_.staleness_slack;
  }

  [[nodiscard]] bool may_read(Clock clock) const {
    if (!staleness_ || clock == kNever) return true;
    return least_clock() >= clock - std::min<Clock>(clock, *staleness_);
  }

  void serve_reads(std::vector<UnitAnswer>& out) {
    for (const auto& held :
         reads_.take_if([&](const auto& waiting) { return may_read(waiting.entry.clock); })) {
      out.push_back(
          {held.from, answer(held.entry.sequence, held.entry.epoch, wire::ReplyCode::kWeights)});
    }
  }

  wire::ReplyEntry answer(uint64_t sequence, UnitEpoch epoch, wire::ReplyCode code) const {
    return {.sequence = sequence,
            .unit = id(),
            .epoch = epoch,
            .code = code,
            .version = version_,
            .least_clock = least_clock(),
            .fences = {},
            .missing = {},
            .weights = weights_.current()};
  }

  const std::optional<uint32_t> staleness_;  // ssp's bound; nothing: async
  const AsyncScaling scaling_;
  const uint32_t parked_max_;
  Version version_ = 0;  // updates applied
  std::vector<Clock> marks_;
  std::map<uint64_t, Buffer> snapshots_;
  uint64_t released_ = 0;  // snapshots up to this one are over
  std::vector<uint64_t> staleness_counts_;
  HeldRequests<wire::PushEntry> parked_;
  HeldRequests<wire::PullEntry> reads_;
};

}  // namespace

std::unique_ptr<Unit> make_async_unit(UnitWeights weights, const LaneSchedule& schedule,
                                      std::optional<uint32_t> staleness, AsyncScaling scaling,
                                      uint32_t parked_max, UnitPolicy policy) {
  return std::make_unique<AsyncUnit>(std::move(weights), schedule, staleness, scaling, parked_max,
                                     policy);
}

}  // namespace ballast
