// What the coordinator says about the job: its state, who is waited for, and the picture of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "server/coordinator/coordinator.h"

namespace ballast {
namespace {

std::string list_of(const std::vector<LaneId>& lanes) {
  std::vector<uint32_t> numbers;
  for (LaneId lane : lanes) numbers.push_back(lane.value());
  return fmt::format("lane{} {}", lanes.size() == 1 ? "" : "s", fmt::join(numbers, ", "));
}

std::string list_of(const std::vector<ShardId>& shards) {
  std::vector<uint32_t> numbers;
  for (ShardId shard : shards) numbers.push_back(shard.value());
  return fmt::format("shard{} {}", shards.size() == 1 ? "" : "s", fmt::join(numbers, ", "));
}

wire::TimeShares as_shares(const wire::TimeShares& seconds) {
  const double sum = seconds.load + seconds.compute + seconds.push + seconds.wait + seconds.pull;
  if (!(sum > 0)) return {};
  return {seconds.load / sum, seconds.compute / sum, seconds.push / sum, seconds.wait / sum,
          seconds.pull / sum};
}

double mean_of(const std::vector<uint64_t>& histogram) {
  double sum = 0;
  double count = 0;
  for (size_t i = 0; i < histogram.size(); ++i) {
    sum += static_cast<double>(i) * static_cast<double>(histogram[i]);
    count += static_cast<double>(histogram[i]);
  }
  return count > 0 ? sum / count : 0;
}

// Shorter waits are the normal course of a step.
constexpr double kWorthSayingSeconds = 1;

}  // namespace

std::string_view job_state_name(JobState state) {
  switch (state) {
    case JobState::kJoining:
      return "joining";
    case JobState::kLoading:
      return "loading";
    case JobState::kRunning:
      return "running";
    case JobState::kPausing:
      return "pausing";
    case JobState::kStopping:
      return "stopping";
    case JobState::kStopCheckpoint:
      return "stop-checkpoint";
    case JobState::kFinalEvaluation:
      return "final-evaluation";
    case JobState::kFinalCheckpoint:
      return "final-checkpoint";
    case JobState::kEnded:
      break;
  }
  return "ended";
}

JobState Coordinator::state() const {
  if (ending_) return JobState::kEnded;
  if (!started_) {
    const bool joined = membership_.shards_in().size() == membership_.shard_count() &&
                        membership_.workers_in().size() >= setup_.config.cluster.workers;
    return joined ? JobState::kLoading : JobState::kJoining;
  }
  if (stop_requested_) {
    if (last_cut_ || trained_) return JobState::kStopCheckpoint;
    return stop_->stop_clock() ? JobState::kStopping : JobState::kPausing;
  }
  if (!trained_) return JobState::kRunning;
  return final_evaluation_open() ? JobState::kFinalEvaluation : JobState::kFinalCheckpoint;
}

std::string Coordinator::resume_hint() const {
  const uint64_t checkpoint = checkpoints_.last_committed();
  if (checkpoint == 0) return "there is no checkpoint to resume from, start the job again";
  return fmt::format("resume from checkpoint {} with: {}", checkpoint, setup_.resume_command);
}

// ---------------------------------------------------------------- who is waited for

std::string Coordinator::waiting_for(Time now) const {
  if (ending_) return {};
  if (!started_) return membership_.missing(setup_.config.cluster.workers, now);
  for (const std::string& text :
       {waiting_for_processes(now), waiting_for_lanes(now), waiting_for_rounds(), slowest_wait()}) {
    if (!text.empty()) return text;
  }
  return {};
}

std::string Coordinator::waiting_for_processes(Time now) const {
  for (uint32_t i = 0; i < membership_.shard_count(); ++i) {
    const Member& shard = membership_.shard(ShardId(i));
    const std::string name = name_of(ShardId(i), shard);
    const std::string since = seconds_text(now - shard.since);
    if (shard.presence != Presence::kIn) return fmt::format("{} to come back, for {}", name, since);
    if (!shard.loaded) return fmt::format("{} to load its units, for {}", name, since);
  }
  if (membership_.workers_in().empty()) {
    return fmt::format("a worker to join, for {}: none is left",
                       seconds_text(now - no_worker_since_));
  }
  return {};
}

std::string Coordinator::waiting_for_lanes(Time now) const {
  const std::vector<LaneId> unowned = plan_.unowned();
  if (!unowned.empty()) {
    return fmt::format("{} to report the marks of {}, for {}",
                       list_of(plan_.round().awaited(unowned.front())), list_of(unowned),
                       seconds_text(now - unowned_since_));
  }
  std::vector<std::string> unconfirmed;
  for (const LanePlan::Order& order : plan_.assignments(plan_.unconfirmed())) {
    std::vector<LaneId> lanes;
    for (const auto& lane : std::get<wire::Assign>(order.message).lanes) lanes.push_back(lane.lane);
    unconfirmed.push_back(fmt::format("worker {} to confirm {}", order.to.value(), list_of(lanes)));
  }
  if (!unconfirmed.empty()) return fmt::format("{}", fmt::join(unconfirmed, "; "));
  if (stop_ && !stop_->stop_clock()) {
    return fmt::format("{} to stand still, for {}", list_of(stop_->moving(plan_)),
                       seconds_text(now - state_moved_));
  }
  if (stop_ && !last_cut_ && !stop_->below(plan_).empty()) {
    return fmt::format("{} to reach step {}, for {}", list_of(stop_->below(plan_)),
                       *stop_->stop_clock(), seconds_text(now - state_moved_));
  }
  return {};
}

std::string Coordinator::waiting_for_rounds() const {
  if (!trained_ && !stop_requested_) return {};  // rounds hold nobody up before
  if (state() == JobState::kFinalEvaluation) {
    if (snapshot_ && !snapshot_->all_taken()) return "shards to take the snapshot";
    const auto open = evaluations_.find(evaluation_.last());
    const std::vector<LaneId> lanes = snapshot_ ? snapshot_->parts.missing()
                                      : open != evaluations_.end()
                                          ? open->second.missing()
                                          : EvaluationParts(plan_.lane_count()).missing();
    return fmt::format("the final evaluation of {}", list_of(lanes));
  }
  if (checkpoints_.committing()) return "the manifest of the checkpoint to be written";
  if (!checkpoints_.awaited().empty()) {
    return fmt::format("{} to write checkpoint {}", list_of(checkpoints_.awaited()),
                       *checkpoints_.ordered());
  }
  return {};
}

// The longest wait that a process reports of itself.
std::string Coordinator::slowest_wait() const {
  std::string text;
  double longest = kWorthSayingSeconds;
  for (WorkerId worker : membership_.workers_in()) {
    const wire::WorkerProgress* progress = board_.worker(worker);
    if (progress == nullptr || progress->waiting_seconds <= longest) continue;
    longest = progress->waiting_seconds;
    text = fmt::format("worker {} waits for {}, for {:.1f} s", worker.value(),
                       progress->waiting_for, longest);
  }
  for (ShardId shard : membership_.shards_in()) {
    const wire::ShardProgress* progress = board_.shard(shard);
    if (progress == nullptr || progress->waiting_seconds <= longest) continue;
    longest = progress->waiting_seconds;
    text = fmt::format("shard {} waits for {}, for {:.1f} s", shard.value(), progress->waiting_for,
                       longest);
  }
  return text;
}

// ---------------------------------------------------------------- the picture

WorkerStatus Coordinator::worker_status(WorkerId worker, Time now) const {
  const Member& member = membership_.worker(worker);
  WorkerStatus status;
  status.worker = worker;
  status.alive = member.presence == Presence::kIn;
  status.incarnation = member.incarnation;
  status.host = member.host;
  status.process = member.process;
  status.silent_seconds = to_seconds(now - member.heard);
  status.stuck_seconds = to_seconds(membership_.stuck(member, now));
  Clock least = plan_.highest_clock();
  for (LaneId lane : plan_.lanes_of(worker)) {
    status.lanes.push_back({lane, plan_.clock(lane)});
    least = std::min(least, plan_.clock(lane));
  }
  status.lag_steps = plan_.highest_clock() - least;
  const wire::WorkerProgress* progress = board_.worker(worker);
  if (progress == nullptr || progress->incarnation != member.incarnation) return status;
  status.steps = progress->steps;
  status.samples = progress->samples;
  status.samples_per_second = board_.speed(worker);
  status.shares = as_shares(progress->shares);
  status.loader = progress->loader;
  status.waiting_for = progress->waiting_for;
  status.waiting_seconds = progress->waiting_seconds;
  return status;
}

ShardStatus Coordinator::shard_status(ShardId shard, Time now) const {
  const Member& member = membership_.shard(shard);
  ShardStatus status;
  status.shard = shard;
  status.loaded = member.presence == Presence::kIn && member.loaded;
  status.incarnation = member.incarnation;
  status.host = member.host;
  status.process = member.process;
  status.silent_seconds = to_seconds(now - member.heard);
  const wire::ShardProgress* progress = board_.shard(shard);
  if (progress == nullptr) return status;
  status.version_min = progress->version_min;
  status.version_max = progress->version_max;
  status.memory_bytes = progress->memory_bytes;
  status.waiting_for = progress->waiting_for;
  status.waiting_seconds = progress->waiting_seconds;
  return status;
}

JobStatus Coordinator::status(Time now) const {
  const LaneSchedule& schedule = setup_.schedule;
  JobStatus status;
  status.state = state();
  status.step = plan_.least_clock();
  status.steps = schedule.steps();
  status.epochs = evaluation_.last();
  status.epoch = std::min(status.epochs, schedule.epoch_of(status.step) + 1);
  status.samples_per_second = board_.samples_per_second(now);
  status.loss = board_.recent_loss(now);
  status.checkpoint = checkpoints_.last_committed();
  status.view = view_;
  for (uint32_t i = 0; i < membership_.worker_limit(); ++i) {
    const bool expected = i < setup_.config.cluster.workers;
    const bool seen = membership_.worker(WorkerId(i)).presence != Presence::kUnseen;
    if (expected || seen) status.workers.push_back(worker_status(WorkerId(i), now));
  }
  for (uint32_t i = 0; i < membership_.shard_count(); ++i) {
    status.shards.push_back(shard_status(ShardId(i), now));
  }
  status.feeders = board_.feeders(now);
  status.feeders.resize(setup_.config.cluster.feeders);
  status.waiting_for = waiting_for(now);
  board_.add_to(status.totals);
  status.totals.steps = status.step;
  status.totals.epochs = status.step / schedule.steps_per_epoch();
  status.totals.restarts = restarts_;
  status.totals.lane_moves = lane_moves_;
  status.totals.fences_raised = fences_raised_;
  status.staleness_mean = mean_of(status.totals.staleness);
  return status;
}

}  // namespace ballast
