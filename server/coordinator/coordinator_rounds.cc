// Evaluations, checkpoints, the stop on request and the end of the job: the coordinator's part that
// decides when and asks whom. What has come so far is kept by the rounds themselves.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "server/coordinator/coordinator.h"

namespace ballast {
namespace {

// A release has no acknowledgement; a shard that misses all of them drops the copy at the next
// snapshot.
constexpr uint32_t kReleaseRepeats = 3;

std::string names_of(const std::vector<ShardId>& shards) {
  std::string names;
  for (ShardId shard : shards) {
    names += fmt::format("{}shard {}", names.empty() ? "" : ", ", shard.value());
  }
  return names;
}

// A part comes from outside, and what it says of its file ends up in paths.
Status check_part(const wire::PartDone& message) {
  const std::string expected = part_file_name(message.shard.value());
  if (message.part.file == expected) return check_parts({message.part});
  return Status(Code::kInvalidInput,
                fmt::format("expected file {}, found \"{}\"", expected, message.part.file));
}

}  // namespace

// ---------------------------------------------------------------- evaluations

void Coordinator::on(const Peer& from, const wire::EvalPart& message, Time now) {
  if (from.role != Role::kWorker || message.worker.value() != from.index) return;
  const uint64_t number = message.evaluation;
  const wire::EvalAck ack{0, number, message.lane};
  if (!evaluation_.due(number) || number <= evaluation_done_ ||
      message.lane.value() >= plan_.lane_count()) {
    return send(from, ack);  // over or unasked: the sender may forget it
  }
  // Acknowledged when the row is written: until then the parts live with the workers, who do not
  // evaluate a slice twice.
  if (sync()) {
    const auto [open, created] = evaluations_.try_emplace(number, plan_.lane_count());
    if (open->second.add(message)) state_moved_ = now;
    if (open->second.missing().empty()) finish_open_evaluations(number);
  } else if (snapshot_ && snapshot_->number == number && snapshot_->parts.add(message)) {
    state_moved_ = snapshot_moved_ = now;
  }
}

void Coordinator::finish_open_evaluations(uint64_t up_to) {
  for (auto it = evaluations_.begin(); it != evaluations_.end() && it->first <= up_to;) {
    finish_evaluation(it->first, evaluation_.clock_of(it->first), it->second);
    it = evaluations_.erase(it);
  }
}

void Coordinator::finish_evaluation(uint64_t evaluation, Clock clock,
                                    const EvaluationParts& parts) {
  MetricRow row;
  row.evaluation = evaluation;
  row.final = evaluation == evaluation_.last();
  row.clock = clock;
  row.epoch = static_cast<double>(clock) / static_cast<double>(setup_.schedule.steps_per_epoch());
  row.train_loss = board_.take_loss();
  row.test = parts.merged();
  row.missing = parts.missing();
  if (!row.missing.empty()) {
    note(fmt::format("evaluation {} ends without the slices of {} lanes: their workers are gone",
                     evaluation, row.missing.size()));
  }
  rows_.push_back(std::move(row));
  evaluation_done_ = std::max(evaluation_done_, evaluation);
  for (const auto& [lane, worker] : parts.senders()) {
    send(membership_.peer(worker), wire::EvalAck{0, evaluation, lane});
  }
}

void Coordinator::advance_evaluation(Time now) {
  if (sync() || !evaluation_.wanted()) return;
  if (snapshot_ && stop_requested_) release_snapshot();
  if (snapshot_) advance_snapshot(now);
  if (snapshot_ || stop_requested_) return;
  const uint64_t next = trained_ ? evaluation_.last() : evaluation_.passed(plan_.least_clock());
  if (next > evaluation_done_) begin_snapshot(next, now);
}

void Coordinator::begin_snapshot(uint64_t evaluation, Time now) {
  snapshot_.emplace(SnapshotEvaluation{evaluation, plan_.least_clock(),
                                       std::vector<bool>(membership_.shard_count(), false),
                                       EvaluationParts(plan_.lane_count())});
  snapshot_moved_ = now;
  send_evaluation_orders();
}

void Coordinator::advance_snapshot(Time) {
  if (!snapshot_->parts.missing().empty()) return;
  finish_evaluation(snapshot_->number, snapshot_->clock, snapshot_->parts);
  release_snapshot();
}

void Coordinator::release_snapshot() {
  snapshot_released_ = snapshot_->number;
  release_repeats_ = kReleaseRepeats;
  snapshot_.reset();
  send_evaluation_orders();
}

void Coordinator::on(const Peer& from, const wire::SnapshotTaken& message, Time now) {
  if (from.role != Role::kServer || !snapshot_ || snapshot_->number != message.snapshot) return;
  if (snapshot_->taken[from.index]) return;
  snapshot_->taken[from.index] = true;
  snapshot_moved_ = state_moved_ = now;
  if (snapshot_->all_taken()) send_evaluation_orders();
}

// TakeSnapshot until every shard has, then Evaluate to who has the lanes that are missing.
void Coordinator::send_evaluation_orders() {
  if (!snapshot_) {
    if (release_repeats_ == 0) return;
    --release_repeats_;
    for (ShardId shard : membership_.shards_in()) {
      send(membership_.peer(shard), wire::ReleaseSnapshot{0, snapshot_released_});
    }
    return;
  }
  for (uint32_t i = 0; i < membership_.shard_count(); ++i) {
    const Member& shard = membership_.shard(ShardId(i));
    if (snapshot_->taken[i] || shard.presence != Presence::kIn || !shard.loaded) continue;
    send(membership_.peer(ShardId(i)), wire::TakeSnapshot{0, snapshot_->number});
  }
  const std::vector<WorkerId> workers = membership_.workers_in();
  if (!snapshot_->all_taken() || workers.empty()) return;
  std::map<WorkerId, std::vector<LaneId>> orders;
  for (LaneId lane : snapshot_->parts.missing()) {
    const auto owner = plan_.owner(lane);
    orders[owner ? *owner : workers[lane.value() % workers.size()]].push_back(lane);
  }
  for (auto& [worker, lanes] : orders) {
    send(membership_.peer(worker), wire::Evaluate{0, snapshot_->number, std::move(lanes)});
  }
}

// ---------------------------------------------------------------- checkpoints

void Coordinator::on(const Peer& from, const wire::PartDone& message, Time now) {
  if (from.role != Role::kServer || message.shard.value() != from.index) return;
  if (const Status fits = check_part(message); !fits.ok()) {
    return note(
        fmt::format("refused the part of {} for checkpoint {}: {}; the round goes on without "
                    "it, look into its log",
                    to_string(from), message.checkpoint, fits.to_string()));
  }
  if (checkpoints_.part(message.shard, message)) checkpoint_moved_ = state_moved_ = now;
}

void Coordinator::on(const ManifestCommitted& event, Time now) {
  if (ending_) return;
  if (checkpoints_.committed(event.id)) note(fmt::format("checkpoint {} is committed", event.id));
  checkpoint_moved_ = state_moved_ = now;
}

void Coordinator::on(const ManifestFailed& event, Time) {
  if (ending_) return;
  fail(Status(event.status)
           .because(fmt::format("while committing checkpoint {}: {}", event.id, resume_hint())));
}

void Coordinator::on(const StoreLost& event, Time) {
  fail(Status(event.status)
           .because(fmt::format("on the coordinator's disk, at step {} of {}: {}",
                                plan_.least_clock(), setup_.schedule.steps(), resume_hint())));
}

void Coordinator::advance_checkpoint(Time now) {
  if (!stop_requested_ && !trained_) {
    const Clock before_end = std::min<Clock>(plan_.least_clock(), setup_.schedule.steps() - 1);
    if (const auto id = checkpoints_.due(before_end)) order_checkpoint(*id, *id, now);
  }
  if (auto commit = checkpoints_.begin_commit()) {
    effects_.push_back(CommitManifest{commit->id, commit->clock, std::move(commit->parts)});
  }
}

void Coordinator::order_checkpoint(uint64_t id, Clock clock, Time now) {
  checkpoints_.order(id, clock);
  checkpoint_moved_ = now;
  send_checkpoint_orders();
}

void Coordinator::send_checkpoint_orders() {
  for (ShardId shard : checkpoints_.awaited()) {
    const Member& member = membership_.shard(shard);
    if (member.presence != Presence::kIn || !member.loaded) continue;
    send(membership_.peer(shard), wire::CheckpointOrder{0, *checkpoints_.ordered()});
  }
}

// ---------------------------------------------------------------- the stop and the end

void Coordinator::on(const StopRequested&, Time) {
  if (ending_ || stop_requested_) return;
  note("stop requested");
  if (!started_) return end(wire::EndKind::kStopped, Status());
  stop_requested_ = true;
  stop_.emplace(setup_.config.train.mode, setup_.schedule);
  // Two owners of one lane cannot both stand still; the lane goes to one of them.
  const uint32_t fenced = plan_.fence_handovers();
  fences_raised_ += fenced;
  if (fenced > 0) fence_order_due_ = true;
  send_stop_orders();
}

void Coordinator::on(const Peer& from, const wire::Paused& message, Time now) {
  if (from.role != Role::kWorker || !stop_) return;
  const size_t before = stop_->moving(plan_).size();
  for (const wire::LaneProgress& lane : message.lanes) {
    plan_.progress(WorkerId(from.index), lane);
    stop_->report(plan_, WorkerId(from.index), lane, true);
  }
  if (stop_->moving(plan_).size() != before) state_moved_ = now;
}

// Also spares and newcomers: they must stand still before a lane reaches them.
void Coordinator::send_stop_orders() {
  const auto stop_clock = stop_->stop_clock();
  for (WorkerId worker : membership_.workers_in()) {
    if (sync() && stop_clock) {
      send(membership_.peer(worker), wire::StopAt{0, *stop_clock});
    } else {
      send(membership_.peer(worker), wire::Pause{});
    }
  }
}

void Coordinator::advance_stop(Time now) {
  if (!trained_ && !last_cut_) {
    const bool settled = stop_->stop_clock().has_value();
    if (!stop_->settle(plan_)) return;
    if (!settled) send_stop_orders();
    if (!stop_->below(plan_).empty()) return;
  }
  const Clock clock = trained_ ? setup_.schedule.steps()
                      : sync() ? *stop_->stop_clock()
                               : plan_.highest_clock();
  const bool nothing_new = clock == 0 || (sync() && checkpoints_.last_committed() == clock);
  if (!last_cut_ && nothing_new) return end(wire::EndKind::kStopped, Status());
  if (!last_cut_) {
    last_cut_ = checkpoints_.fresh_id(clock);
    order_checkpoint(*last_cut_, sync() ? clock : plan_.least_clock(), now);
  }
  if (checkpoints_.last_committed() >= *last_cut_) end(wire::EndKind::kStopped, Status());
}

void Coordinator::advance_end(Time now) {
  if (final_evaluation_open()) return;
  const Clock steps = setup_.schedule.steps();
  if (sync() && checkpoints_.last_committed() == steps) return end(wire::EndKind::kDone, Status());
  if (!last_cut_) {
    last_cut_ = checkpoints_.fresh_id(steps);
    order_checkpoint(*last_cut_, steps, now);
  }
  if (checkpoints_.last_committed() >= *last_cut_) end(wire::EndKind::kDone, Status());
}

// No wait is endless: what can be done without is given up, anything else ends the job.
void Coordinator::give_up_what_stands_still(Time now) {
  if (!started_) {
    const Time since = membership_.missing_since(setup_.config.cluster.workers);
    const Duration limit =
        state() == JobState::kJoining ? patience_.join : std::max(patience_.join, patience_.stuck);
    if (since == kEndOfTime || now - since < limit) return;
    return fail(Status(Code::kDeadline,
                       fmt::format("the job cannot start, still missing: {}; look into their logs",
                                   membership_.missing(setup_.config.cluster.workers, now))));
  }
  const auto still = [&](Time moved) { return now - moved >= patience_.stuck; };
  // A long evaluation or step is no standstill: workers say with every batch that they get on.
  const Time worked = membership_.last_worker_beat();
  if (snapshot_ && still(std::max(snapshot_moved_, worked))) {
    finish_evaluation(snapshot_->number, snapshot_->clock, snapshot_->parts);
    release_snapshot();
  }
  if (sync() && state() == JobState::kFinalEvaluation && still(std::max(state_moved_, worked))) {
    evaluations_.try_emplace(evaluation_.last(), plan_.lane_count());
    finish_open_evaluations(evaluation_.last());
  }
  const bool stopping = stop_requested_ && !last_cut_;
  if (stopping && still(std::max(state_moved_, worked))) {
    return fail(Status(Code::kDeadline, fmt::format("stop on request: {}", waiting_for(now)))
                    .because(resume_hint()));
  }
  if (!checkpoints_.ordered() || checkpoints_.committing() || !still(checkpoint_moved_)) return;
  const std::string text =
      fmt::format("checkpoint {}: the parts of {} did not come for {}", *checkpoints_.ordered(),
                  names_of(checkpoints_.awaited()), seconds_text(now - checkpoint_moved_));
  if (last_cut_) return fail(Status(Code::kDeadline, text).because(resume_hint()));
  note(text + "; it is given up");
  checkpoints_.drop_order();
}

void Coordinator::fail(Status status) {
  if (!ending_) end(wire::EndKind::kFailed, std::move(status));
}

void Coordinator::end(wire::EndKind kind, Status status) {
  ending_ = kind;
  ending_status_ = status;
  const std::string reason = status.ok() ? std::string() : status.to_string();
  // Also to those given up: they may be there all the same.
  for (uint32_t i = 0; i < membership_.worker_limit(); ++i) {
    if (membership_.worker(WorkerId(i)).incarnation == 0) continue;
    send(membership_.peer(WorkerId(i)), wire::End{0, kind, reason});
  }
  for (uint32_t i = 0; i < membership_.shard_count(); ++i) {
    if (membership_.shard(ShardId(i)).incarnation == 0) continue;
    send(membership_.peer(ShardId(i)), wire::End{0, kind, reason});
  }
  effects_.push_back(Finish{kind, std::move(status)});
}

}  // namespace ballast
