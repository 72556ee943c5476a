#include "worker/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/config/silence_limit.h"

namespace ballast {

WorkerSession::WorkerSession(SessionConfig config)
    : config_(std::move(config)),
      schedule_(schedule_of(config_.job)),
      coordinator_{Role::kCoordinator, 0, 0},
      client_({.run = config_.run, .retry_after = config_.retry_after}, config_.units),
      known_(config_.units.size()),
      delivered_(config_.units.size()),
      silence_({}, heartbeat()) {
  totals_.worker = config_.worker;
  totals_.incarnation = config_.incarnation;
}

void WorkerSession::start(Time now, SessionEffects& out) {
  next_beat_ = now;
  silence_ = Silence(now, heartbeat());
  accounted_ = now;
  out.push_back(session_effect::WakeAt{now});
}

void WorkerSession::handle(SessionEvent event, Time now, SessionEffects& out) {
  account(now);
  std::visit([&](auto& one) { on(one, now, out); }, event);
  if (!ended_) advance(now, out);
}

// ---------------------------------------------------------------- events

void WorkerSession::on(session_event::Received& event, Time now, SessionEffects& out) {
  if (auto* reply = std::get_if<wire::Reply>(&event.message)) {
    for (Outcome& outcome : client_.handle(event.from, std::move(*reply), now)) {
      on_outcome(outcome, out);
    }
  } else if (event.from.role == Role::kCoordinator) {  // nobody else gives orders
    silence_.broken();
    on_control(event.message, now, out);
  }
}

void WorkerSession::on(session_event::PeerUp& event, Time now, SessionEffects& out) {
  if (event.peer.role == Role::kServer) client_.peer_up(event.peer, now);
  if (event.peer.role == Role::kCoordinator)
    out.push_back(session_effect::Send{coordinator_, join()});
}

void WorkerSession::on(session_event::PeerDown&, Time, SessionEffects&) {}

void WorkerSession::on(session_event::GradientReady& event, Time, SessionEffects&) {
  ++totals_.beat;
  if (!job_ || job_->number != event.job) return;
  const auto task = tasks_.find(job_->task);
  if (task == tasks_.end()) return;
  for (const session_event::GradientReady::Part& part : event.parts) {
    for (const UnitSpec& unit : config_.units) {
      if (unit.parameter == part.parameter) {
        push_unit(task->second, *job_, event, unit, part.gradient);
      }
    }
  }
}

void WorkerSession::on(session_event::Fed& event, Time, SessionEffects&) {
  totals_.fed = std::move(event.share);
}

void WorkerSession::on(session_event::ComputeDone& event, Time, SessionEffects&) {
  ++totals_.beat;
  totals_.shares.load += event.load_seconds;
  totals_.shares.compute += event.compute_seconds;
  totals_.loader = event.loader;
  totals_.busy_seconds += event.load_seconds + event.compute_seconds;
  if (!job_ || job_->number != event.job) return;
  const auto task = tasks_.find(job_->task);
  if (task != tasks_.end() && !task->second.computed) {
    task->second.computed = true;
    ++totals_.steps;
    for (const LaneGroup& group : job_->groups) {
      for (LaneId lane : group.lanes)
        totals_.samples += schedule_.samples_of(lane, task->second.clock);
    }
    totals_.loss_sum += event.loss_sum;
    totals_.weight_sum += event.weight_sum;
  }
  job_.reset();
}

void WorkerSession::on(session_event::EvaluationDone& event, Time, SessionEffects& out) {
  ++totals_.beat;
  totals_.shares.compute += event.seconds;
  if (!job_ || job_->number != event.job) return;
  const auto found = tasks_.find(job_->task);
  job_.reset();
  if (found == tasks_.end()) return;
  Task& task = found->second;
  task.to_evaluate.clear();
  if (task.kind == TaskKind::kSnapshotEvaluation) {
    // The computing side holds the snapshot now: train from what is newest again.
    delivered_.assign(delivered_.size(), Delivered());
    store_parts(task.snapshot, event, out);
    task.computed = true;
    return;
  }
  const uint64_t evaluation = evaluation_number(task.clock);
  for (const auto& [lane, sums] : event.parts) {
    if (const auto mine = lanes_.find(lane); mine != lanes_.end())
      mine->second.evaluated = evaluation;
  }
  store_parts(evaluation, event, out);
  if (task.kind == TaskKind::kFinalEvaluation) task.computed = true;
}

void WorkerSession::on(session_event::Beat&, Time, SessionEffects&) {
  ++totals_.beat;
}

void WorkerSession::on(session_event::ComputeFailed& event, Time, SessionEffects& out) {
  ended_ = true;
  out.push_back(session_effect::Fail{std::move(event.status)});
}

void WorkerSession::on(session_event::Tick&, Time now, SessionEffects& out) {
  client_.tick(now);
  check_silence(now, out);
  if (now < next_beat_) return;
  if (welcomed_) {
    report_ = true;
    for (const auto& [key, part] : unacked_parts_) {
      out.push_back(session_effect::Send{coordinator_, part});
    }
  } else {
    out.push_back(session_effect::Send{coordinator_, join()});
  }
  next_beat_ = now + heartbeat();
}

Duration WorkerSession::heartbeat() const {
  return std::chrono::milliseconds(config_.job.cluster.heartbeat_ms);
}

// Answers that bring something on, results of the computing side and words of the coordinator break
// the silence; that a shard is busy or cannot take a push yet does not.
void WorkerSession::check_silence(Time now, SessionEffects& out) {
  if (ended_) return;
  silence_.tick(now);
  if (job_) silence_.broken();
  const SilenceLimit limit(config_.job.cluster, welcomed_);
  if (!limit.is_reached(silence_)) return;
  ended_ = true;
  const auto waiting = client_.oldest_waiting();
  out.push_back(session_effect::Fail{limit.status(
      silence_,
      fmt::format("worker {}: no word from the coordinator and no progress",
                  config_.worker.value()),
      !welcomed_ ? "a welcome"
      : waiting  ? fmt::format("{}, for {:.1f} s", waiting->text, to_seconds(now - waiting->since))
                 : "lanes")});
}

// ---------------------------------------------------------------- control

bool WorkerSession::current(uint64_t leader) {
  if (leader < leader_) return false;
  leader_ = leader;
  return true;
}

void WorkerSession::on_control(wire::Any& message, Time now, SessionEffects& out) {
  if (const auto* answer = std::get_if<wire::BeatAnswer>(&message)) {
    const bool restarted = answer->leader > leader_;
    if (!current(answer->leader)) return;
    if (restarted || answer->view > client_.view().number) {
      out.push_back(session_effect::Send{coordinator_, join()});
    }
  } else if (const auto* welcome = std::get_if<wire::Welcome>(&message)) {
    if (current(welcome->leader)) welcomed_ = report_ = true;
  } else if (const auto* refused = std::get_if<wire::Refused>(&message)) {
    if (!current(refused->leader)) return;
    out.push_back(session_effect::Fail{
        Status(Code::kInvalidInput, refused->reason)
            .because(welcomed_ ? "told by the coordinator" : "while joining the coordinator")});
  } else if (const auto* view = std::get_if<wire::View>(&message)) {
    if (current(view->leader)) on_view(*view, now, out);
  } else if (const auto* assign = std::get_if<wire::Assign>(&message)) {
    if (!current(assign->leader)) return;
    for (const wire::LaneAssignment& lane : assign->lanes) on_assignment(lane, out);
  } else if (const auto* handover = std::get_if<wire::Handover>(&message)) {
    if (current(handover->leader)) on_handover(*handover, out);
  } else if (const auto* evaluate = std::get_if<wire::Evaluate>(&message)) {
    if (current(evaluate->leader)) on_evaluate(*evaluate);
  } else if (const auto* ack = std::get_if<wire::EvalAck>(&message)) {
    if (current(ack->leader)) unacked_parts_.erase({ack->evaluation, ack->lane});
  } else if (const auto* pause = std::get_if<wire::Pause>(&message)) {
    if (!current(pause->leader)) return;
    paused_ = true;
    out.push_back(
        session_effect::Send{coordinator_, wire::Paused{config_.worker, progress(now).lanes}});
  } else if (const auto* stop = std::get_if<wire::StopAt>(&message)) {
    if (!current(stop->leader)) return;
    paused_ = true;
    stop_at_ = std::max(stop_at_, stop->clock);
    report_ = true;
  } else if (const auto* end = std::get_if<wire::End>(&message)) {
    if (!current(end->leader) || ended_) return;
    ended_ = true;
    send_progress(now, out);  // the last figures
    out.push_back(session_effect::End{end->kind, end->reason});
  }
}

void WorkerSession::on_view(const wire::View& view, Time now, SessionEffects& out) {
  const std::vector<wire::ShardAddress> known = client_.view().shards;
  if (!client_.set_view(view, now)) return;
  for (const wire::ShardAddress& shard : view.shards) {
    const bool same = std::any_of(known.begin(), known.end(), [&](const wire::ShardAddress& old) {
      return old.shard == shard.shard && old.incarnation == shard.incarnation &&
             old.endpoint == shard.endpoint;
    });
    if (same) continue;
    out.push_back(session_effect::Connect{{Role::kServer, shard.shard.value(), shard.incarnation},
                                          shard.endpoint});
  }
}

void WorkerSession::on_assignment(const wire::LaneAssignment& assign, SessionEffects& out) {
  if (assign.lane.value() >= schedule_.lanes()) return;
  const auto known = numbers_.find(assign.lane);
  if (known == numbers_.end() || assign.number > known->second) {
    numbers_[assign.lane] = assign.number;
    drop_lane(assign.lane);
    lanes_[assign.lane] = {.clock = schedule_.present_from(assign.lane, assign.start),
                           .fence = assign.fence,
                           .number = assign.number,
                           .until = std::nullopt};
    report_ = true;
  }
  out.push_back(session_effect::Send{coordinator_,
                                     wire::Assigned{config_.worker, assign.lane, assign.number}});
}

void WorkerSession::on_handover(const wire::Handover& handover, SessionEffects& out) {
  const auto found = lanes_.find(handover.lane);
  if (found == lanes_.end()) return;
  Lane& lane = found->second;
  if (lane.fence != handover.fence || lane.number != handover.number) return;
  if (!lane.until) {  // this side says where the lane really stops
    lane.until = std::max(handover.clock, unreached(handover.lane, lane));
  }
  send_handing(handover.lane, out);
}

void WorkerSession::on_evaluate(const wire::Evaluate& order) {
  if (sync() || order.snapshot < snapshot_done_) return;
  if (order.snapshot > snapshot_done_) {
    snapshot_done_ = order.snapshot;
    snapshot_lanes_.clear();
  }
  std::vector<LaneId> fresh;
  for (LaneId lane : order.lanes) {
    if (snapshot_lanes_.insert(lane).second) fresh.push_back(lane);
  }
  if (fresh.empty()) return;
  Task task;
  task.kind = TaskKind::kSnapshotEvaluation;
  task.number = next_number_++;
  task.snapshot = order.snapshot;
  task.to_evaluate = std::move(fresh);
  task.debts.resize(config_.units.size());
  tasks_.emplace(task.number, std::move(task));
}

// ---------------------------------------------------------------- reports

void WorkerSession::store_parts(uint64_t evaluation, session_event::EvaluationDone& done,
                                SessionEffects& out) {
  for (auto& [lane, sums] : done.parts) {
    wire::EvalPart part{config_.worker, evaluation, lane, std::move(sums)};
    out.push_back(session_effect::Send{coordinator_, part});
    unacked_parts_[{evaluation, lane}] = std::move(part);
  }
}

void WorkerSession::send_handing(LaneId id, SessionEffects& out) {
  const Lane& lane = lanes_.at(id);
  out.push_back(session_effect::Send{
      coordinator_, wire::Handing{config_.worker, id, lane.fence, lane.number, *lane.until,
                                  lane.clock >= *lane.until && !busy(id)}});
}

void WorkerSession::send_progress(Time now, SessionEffects& out) {
  report_ = false;
  out.push_back(session_effect::Send{coordinator_, progress(now)});
}

wire::WorkerProgress WorkerSession::progress(Time now) const {
  wire::WorkerProgress progress = totals_;
  for (const auto& [id, lane] : lanes_) {
    progress.lanes.push_back({id, lane.fence, lane.number, lane.clock, busy(id)});
  }
  if (const auto waiting = client_.oldest_waiting(); waiting && !job_) {
    progress.waiting_for = waiting->text;
    progress.waiting_seconds = to_seconds(now - waiting->since);
  }
  return progress;
}

wire::Join WorkerSession::join() const {
  return {.role = Role::kWorker,
          .index = config_.worker.value(),
          .incarnation = config_.incarnation,
          .protocol_min = wire::kProtocolMin,
          .protocol_max = wire::kProtocolMax,
          .job_hash = config_.job_hash,
          .run = config_.job.resolved.run,
          .endpoint = {},
          .host = config_.host,
          .process = config_.process,
          .arithmetic = config_.arithmetic};
}

// Where the time since the last event went while nothing was computed: async pushes are answered as
// they arrive, sync ones when the step closes. With several steps in flight it went to the one that
// could be computed next, if there is one.
void WorkerSession::account(Time now) {
  const double seconds = to_seconds(now - accounted_);
  accounted_ = now;
  if (job_ || tasks_.empty()) return;
  const auto computed = [](const auto& task) { return task.second.computed; };
  const bool pushing = sync() ? std::any_of(tasks_.begin(), tasks_.end(), computed)
                              : std::all_of(tasks_.begin(), tasks_.end(), computed);
  const Mode mode = config_.job.train.mode;
  if (pushing) {
    (mode == Mode::kSync ? totals_.shares.wait : totals_.shares.push) += seconds;
  } else {
    (mode == Mode::kSsp ? totals_.shares.wait : totals_.shares.pull) += seconds;
  }
}

}  // namespace ballast
