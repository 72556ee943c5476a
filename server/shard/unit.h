// Unit: who may write and read one unit, and when, by the rules in server/shard/README.md. SyncUnit
// closes steps, AsyncUnit (async and ssp) keeps a mark per lane. Each entry of a message is
// answered now or held until a later change of this unit.
//
// A unit owns no clock and sends nothing: the shard checks fences and epochs and turns answers into
// messages. Owner thread: the shard.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/config/job_config.h"
#include "common/net/message.h"
#include "common/placement/lane_schedule.h"
#include "common/wire/data_messages.h"
#include "server/shard/unit_weights.h"

namespace ballast {

struct UnitAnswer {
  Peer to;
  wire::ReplyEntry entry;
};

// Counts by reply code and by what happened without one; the simulator insists that none stays
// zero.
struct UnitCounters {
  uint64_t held = 0;    // pushes until their step closes, reads until they are allowed
  uint64_t parked = 0;  // early pushes kept until a lane's mark rises, each counted once
  uint64_t malformed = 0;
};

// What differs from rule to rule; the simulator plants bugs through it, the product takes the
// defaults.
struct UnitPolicy {
  uint32_t reads_held_max = 1024;  // one more is answered kBusy: above lanes x 2 in any sane job
  uint64_t staleness_slack = 0;    // lanes count as so much further for reads: 0 unless planted
  std::optional<uint32_t> parked_max{};  // early pushes kept; nothing: parked_max_of(job)
  bool applies_repeats = false;  // a push that was applied is applied again: never, unless planted
};

// What a unit keeps at this moment.
struct UnitOccupancy {
  size_t versions = 1;
  size_t pushes = 0;  // in slots, until their step closes
  size_t parked = 0;
  size_t reads = 0;
  size_t snapshots = 0;
};

// Early pushes that an async or ssp unit keeps: one a lane, and all that workers may have on their
// way. `lanes` is resolved.
[[nodiscard]] inline uint32_t parked_max_of(const JobConfig& job) {
  return std::max(job.train.lanes, job.cluster.workers * job.train.steps_in_flight);
}

class Unit {
 public:
  Unit(UnitWeights weights, const LaneSchedule& schedule, UnitPolicy policy)
      : weights_(std::move(weights)),
        schedule_(schedule),
        policy_(policy),
        ledger_(schedule.lanes(), 0) {}
  virtual ~Unit() = default;

  // Push and pull entries whose fences and epoch hold. Answers (to this request and to held ones it
  // frees) are appended; nothing appended for it means it is held, or that it made no sense and was
  // counted as malformed. True: the unit's durable state changed.
  virtual bool push(const Peer& from, wire::PushEntry entry, Time now,
                    std::vector<UnitAnswer>& out) = 0;
  virtual void pull(const Peer& from, const wire::PullEntry& entry, Time now,
                    std::vector<UnitAnswer>& out) = 0;

  // A fence was stored: requests held for lanes below it are answered kFenced.
  virtual void fences_rose(std::span<const Fence> fences, std::vector<UnitAnswer>& out) = 0;
  // The process is gone: its held requests are forgotten.
  virtual void forget(const Peer& peer) = 0;

  // From now on snapshot `id` is this unit's present state; an older one is dropped, and one that
  // is there or was released stays as it is, because orders are repeated and may come late.
  virtual void take_snapshot(uint64_t id) = 0;
  virtual void release_snapshot(uint64_t id) = 0;

  // The next clock of every lane at this unit.
  [[nodiscard]] virtual std::vector<Clock> marks() const = 0;
  [[nodiscard]] virtual Version version() const = 0;
  [[nodiscard]] virtual UnitImage image() const = 0;
  [[nodiscard]] virtual Status restore(UnitImage image) = 0;
  // Updates by staleness; empty in sync.
  [[nodiscard]] virtual std::span<const uint64_t> staleness() const { return {}; }

  // The oldest held request: since when, and a sentence that says for which lanes it waits.
  struct Waiting {
    Time since;
    std::string text;
  };
  [[nodiscard]] virtual std::optional<Waiting> oldest_waiting() const = 0;
  [[nodiscard]] virtual UnitOccupancy occupancy() const = 0;
  // Bytes of gradients that wait in slots or parked.
  [[nodiscard]] virtual uint64_t waiting_bytes() const = 0;

  [[nodiscard]] UnitId id() const { return weights_.spec().id; }
  // What it keeps by itself; a version that only a reply or a checkpoint still holds is theirs.
  [[nodiscard]] uint64_t memory_bytes() const {
    const UnitOccupancy kept = occupancy();
    return (kept.versions + kept.snapshots) * weights_.bytes() + weights_.state_bytes() +
           waiting_bytes();
  }
  [[nodiscard]] const UnitCounters& counters() const { return counters_; }
  [[nodiscard]] const UnitWeights& weights() const { return weights_; }
  // UnitImage::ledger: rises with the marks and is stored with them.
  [[nodiscard]] const std::vector<uint64_t>& ledger() const { return ledger_; }

 protected:
  // The step of this stamp is in the weights now.
  void enter(LaneId lane, uint64_t rows_hash) {
    if (!ledger_.empty()) ledger_[lane.value()] += rows_hash;
  }
  // Weights and ledger of the image. kDataLoss: they do not fit.
  [[nodiscard]] Status restore_common(UnitImage image);

  UnitWeights weights_;
  const LaneSchedule& schedule_;  // outlives: the shard owns both
  const UnitPolicy policy_;
  UnitCounters counters_;
  std::vector<uint64_t> ledger_;  // by lane; empty: restored from an image that had none
};

// Bulk-synchronous steps (BSP). One slot per lane and step; the unit closes a step by itself when
// every lane that has rows has filled its slot. Keeps at most the versions t and t + 1.
[[nodiscard]] std::unique_ptr<Unit> make_sync_unit(UnitWeights weights,
                                                   const LaneSchedule& schedule,
                                                   UnitPolicy policy = {});

// What the learning rate of one push is multiplied by.
struct AsyncScaling {
  // Its share of the weight of all lanes' samples in its step (the samples that are not in the push
  // weigh the mean of all that were applied), so that the pushes of one step together move
  // as far as one synchronous update of the whole batch (linear scaling rule; Goyal et al., 2017),
  // and the same job file learns alike in every mode.
  bool by_share = true;
  bool by_staleness = false;  // 1 / (1 + staleness)
};

// Asynchronous (no staleness bound) or bounded staleness: a push is applied when it comes.
// `staleness`: steps a reading lane may lead the slowest; nothing: reads never wait.
// `parked_max`: early pushes kept; one more is answered kEarly.
[[nodiscard]] std::unique_ptr<Unit> make_async_unit(UnitWeights weights,
                                                    const LaneSchedule& schedule,
                                                    std::optional<uint32_t> staleness,
                                                    AsyncScaling scaling, uint32_t parked_max,
                                                    UnitPolicy policy = {});

}  // namespace ballast
