// Evaluations: collects one slice of the test set per lane and adds them up in lane order. Pure.
//
// Which: evaluation e belongs to the end of epoch e, the last one to the end of the job. It is due
// when e is a multiple of eval_every_epochs, and the last one always. Sync: workers send parts by
// themselves, so several evaluations may be open at once. Async, ssp: one at a time, on a snapshot
// that every shard has taken.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "common/placement/lane_schedule.h"
#include "common/wire/control_messages.h"

namespace ballast {

class EvaluationPlan {
 public:
  // No test set: `wanted` false, nothing is ever due.
  EvaluationPlan(const LaneSchedule& schedule, uint32_t every_epochs, bool wanted);

  [[nodiscard]] bool wanted() const { return wanted_; }
  [[nodiscard]] uint64_t last() const { return last_; }
  [[nodiscard]] bool due(uint64_t evaluation) const;
  // The clock at which it is done: the steps before it are in.
  [[nodiscard]] Clock clock_of(uint64_t evaluation) const;
  // The newest one that lanes at this least clock have passed, but for the last; 0: none.
  [[nodiscard]] uint64_t passed(Clock least_clock) const;

 private:
  LaneSchedule schedule_;
  uint32_t every_epochs_;
  bool wanted_;
  uint64_t last_;
};

// The slices of one evaluation.
class EvaluationParts {
 public:
  explicit EvaluationParts(uint32_t lane_count) : parts_(lane_count) {}

  // The first one of a lane counts. False: had it, or no such lane.
  bool add(const wire::EvalPart& part);
  [[nodiscard]] std::vector<LaneId> missing() const;
  [[nodiscard]] bool empty() const { return missing().size() == parts_.size(); }
  // Added in lane order; scores merged by ascending score, ties in lane order.
  [[nodiscard]] wire::EvaluationSums merged() const;
  // Who sent each part that came, for the acknowledgements.
  [[nodiscard]] std::vector<std::pair<LaneId, WorkerId>> senders() const;

 private:
  std::vector<std::optional<wire::EvalPart>> parts_;  // by lane
};

// Merges runs of (score, label) pairs of float32, each ascending by score, into one.
[[nodiscard]] Buffer merge_scores(const std::vector<Buffer>& runs);

// Steps of an evaluation on a snapshot (async, ssp).
struct SnapshotEvaluation {
  uint64_t number = 0;
  Clock clock = 0;          // least clock when it began
  std::vector<bool> taken;  // by shard
  EvaluationParts parts;

  [[nodiscard]] bool all_taken() const;
};

}  // namespace ballast
