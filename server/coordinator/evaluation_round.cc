#include "server/coordinator/evaluation_round.h"

#include <algorithm>
#include <cstring>

namespace ballast {

EvaluationPlan::EvaluationPlan(const LaneSchedule& schedule, uint32_t every_epochs, bool wanted)
    : schedule_(schedule),
      every_epochs_(every_epochs),
      wanted_(wanted),
      last_((schedule.steps() + schedule.steps_per_epoch() - 1) / schedule.steps_per_epoch()) {}

bool EvaluationPlan::due(uint64_t evaluation) const {
  if (!wanted_ || evaluation == 0 || evaluation > last_) return false;
  return evaluation == last_ || (every_epochs_ > 0 && evaluation % every_epochs_ == 0);
}

Clock EvaluationPlan::clock_of(uint64_t evaluation) const {
  return std::min(evaluation * schedule_.steps_per_epoch(), schedule_.steps());
}

uint64_t EvaluationPlan::passed(Clock least_clock) const {
  uint64_t evaluation = least_clock / schedule_.steps_per_epoch();
  evaluation = std::min(evaluation, last_ - 1);
  while (evaluation > 0 && !due(evaluation)) --evaluation;
  return evaluation;
}

bool EvaluationParts::add(const wire::EvalPart& part) {
  if (part.lane.value() >= parts_.size() || parts_[part.lane.value()]) return false;
  parts_[part.lane.value()] = part;
  return true;
}

std::vector<LaneId> EvaluationParts::missing() const {
  std::vector<LaneId> lanes;
  for (uint32_t lane = 0; lane < parts_.size(); ++lane) {
    if (!parts_[lane]) lanes.push_back(LaneId(lane));
  }
  return lanes;
}

wire::EvaluationSums EvaluationParts::merged() const {
  wire::EvaluationSums sum;
  std::vector<Buffer> runs;
  for (const std::optional<wire::EvalPart>& part : parts_) {
    if (!part) continue;
    sum.rows += part->sums.rows;
    sum.weight_sum += part->sums.weight_sum;
    sum.loss_sum += part->sums.loss_sum;
    sum.correct += part->sums.correct;
    sum.squared_error_sum += part->sums.squared_error_sum;
    if (!part->sums.scores.empty()) runs.push_back(part->sums.scores);
  }
  sum.scores = merge_scores(runs);
  return sum;
}

std::vector<std::pair<LaneId, WorkerId>> EvaluationParts::senders() const {
  std::vector<std::pair<LaneId, WorkerId>> senders;
  for (const std::optional<wire::EvalPart>& part : parts_) {
    if (part) senders.emplace_back(part->lane, part->worker);
  }
  return senders;
}

Buffer merge_scores(const std::vector<Buffer>& runs) {
  struct Pair {
    float score;
    float label;
  };
  size_t count = 0;
  for (const Buffer& run : runs) count += run.size() / sizeof(Pair);
  if (count == 0) return Buffer();
  std::vector<Pair> merged;
  merged.reserve(count);
  for (const Buffer& run : runs) {  // received frames lie at any address: copied, not cast
    const size_t pairs = run.size() / sizeof(Pair);
    if (pairs == 0) continue;
    const auto middle = static_cast<std::ptrdiff_t>(merged.size());
    merged.resize(merged.size() + pairs);
    std::memcpy(merged.data() + middle, run.data(), pairs * sizeof(Pair));
    std::inplace_merge(merged.begin(), merged.begin() + middle, merged.end(),
                       [](const Pair& a, const Pair& b) { return a.score < b.score; });
  }
  return Buffer::copy_of(std::as_bytes(std::span(merged)));
}

bool SnapshotEvaluation::all_taken() const {
  return std::all_of(taken.begin(), taken.end(), [](bool it) { return it; });
}

}  // namespace ballast
