// LanePlan: who trains which lane. Each lane has a fence, at most one owner, a number that rises
// with every assignment, and perhaps a planned move under way. Pure: it decides, the coordinator
// sends. The rules: README.md beside this file.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "common/placement/lane_schedule.h"
#include "common/wire/messages.h"
#include "server/coordinator/fence_round.h"
#include "server/coordinator/saved_state.h"

namespace ballast {

class LanePlan {
 public:
  // All lanes begin without an owner, at fence 1.
  LanePlan(const LaneSchedule& schedule, std::vector<ShardId> placement);

  // Acknowledgements and clocks are not saved: orders are sent again, clocks are reported again.
  void restore(const std::vector<SavedLane>& lanes);
  [[nodiscard]] std::vector<SavedLane> save() const;

  // ------------------------------------------------ taking and giving
  // Takes the lane from whoever has it or is about to.
  void fence(LaneId lane);
  // The worker is no member: fences what it owns, hands over or is about to get. How many.
  uint32_t fence_lanes_of(WorkerId worker);
  // Fences every lane on its way between two workers. How many.
  uint32_t fence_handovers();
  bool report(const wire::FenceMarks& answer) { return round_.report(answer, fences_); }
  void forget(ShardId shard) { round_.forget(shard); }
  // Gives every lane that is ready to one of `members` (ascending). The lanes given.
  std::vector<LaneId> give(const std::vector<WorkerId>& members);

  // ------------------------------------------------ planned moves
  // False: not possible now (no owner, not confirmed, already moving, finished, the same worker).
  bool plan_move(LaneId lane, WorkerId to);

  // ------------------------------------------------ answers of workers
  void assigned(WorkerId from, LaneId lane, uint64_t number);
  // True when the message changed something.
  bool handing(WorkerId from, const wire::Handing& message);
  void progress(WorkerId from, const wire::LaneProgress& progress);

  // ------------------------------------------------ what is to be sent, until it is answered
  struct Order {
    WorkerId to;
    wire::Any message;  // Assign or Handover, leader not filled in
  };
  [[nodiscard]] std::vector<Order> orders() const;
  // Those of `lanes` that are given and unconfirmed: one message a worker.
  [[nodiscard]] std::vector<Order> assignments(const std::vector<LaneId>& lanes) const;

  // ------------------------------------------------ questions
  [[nodiscard]] uint32_t lane_count() const { return static_cast<uint32_t>(lanes_.size()); }
  [[nodiscard]] const std::vector<Fence>& fences() const { return fences_; }
  [[nodiscard]] std::optional<WorkerId> owner(LaneId lane) const { return at(lane).owner; }
  [[nodiscard]] uint64_t number(LaneId lane) const { return at(lane).number; }
  // Some unit had this mark when the lane was given away; the owner may still be below it.
  [[nodiscard]] Clock reached(LaneId lane) const { return at(lane).reached; }
  [[nodiscard]] bool moving() const;
  [[nodiscard]] std::vector<LaneId> unowned() const;
  [[nodiscard]] std::vector<LaneId> unconfirmed() const;
  [[nodiscard]] std::vector<LaneId> lanes_of(WorkerId worker) const;
  [[nodiscard]] const FenceRound& round() const { return round_; }
  // Every push of the lane below this has been answered.
  [[nodiscard]] Clock clock(LaneId lane) const { return at(lane).clock; }
  // Of all lanes; a finished lane counts as the job's last step.
  [[nodiscard]] Clock least_clock() const;
  [[nodiscard]] Clock highest_clock() const;
  // The owner of every lane has reported its last push answered.
  [[nodiscard]] bool all_finished() const;
  // The report fits the lane's present owner and assignment.
  [[nodiscard]] bool current(WorkerId from, const wire::LaneProgress& progress) const;

 private:
  struct Lane : SavedLane {
    bool confirmed = false;
    Clock clock = 0;
    bool busy = false;
    bool finished = false;
  };
  [[nodiscard]] const Lane& at(LaneId lane) const { return lanes_[lane.value()]; }
  [[nodiscard]] Lane& at(LaneId lane) { return lanes_[lane.value()]; }
  // Whom the last assignment is for.
  [[nodiscard]] static std::optional<WorkerId> assignee(const Lane& lane);
  void assign(Lane& lane, Clock start);

  LaneSchedule schedule_;
  std::vector<Lane> lanes_;
  std::vector<Fence> fences_;  // of lanes_, as messages carry them
  FenceRound round_;
};

}  // namespace ballast
