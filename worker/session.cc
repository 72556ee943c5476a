#include "worker/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/hash.h"

namespace ballast {
namespace {

template <typename T>
bool contains(const std::vector<T>& items, const T& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

uint64_t job_number(const std::string& job_hash) {
  return xxh3(job_hash);
}

}  // namespace

WorkerSession::WorkerSession(SessionConfig config)
    : config_(std::move(config)),
      schedule_(config_.job.resolved.train_rows, config_.job.train.lanes, config_.job.train.batch,
                config_.job.train.epochs, config_.job.train.max_steps),
      coordinator_{Role::kCoordinator, 0, 0},
      client_({.job = job_number(config_.job_hash), .retry_after = config_.retry_after},
              config_.units),
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
  } else {
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
        push_unit(task->second, *job_, job_->groups.at(event.group), unit, part.gradient);
      }
    }
  }
}

void WorkerSession::on(session_event::ComputeDone& event, Time, SessionEffects&) {
  ++totals_.beat;
  totals_.shares.load += event.load_seconds;
  totals_.shares.compute += event.compute_seconds;
  totals_.busy_seconds += event.load_seconds + event.compute_seconds;
  if (!job_ || job_->number != event.job) return;
  const auto task = tasks_.find(job_->task);
  if (task != tasks_.end() && !task->second.computed) {
    task->second.computed = true;
    ++totals_.steps;
    totals_.samples += static_cast<uint64_t>(event.weight_sum);
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
    delivered_.assign(delivered_.size(), std::nullopt);
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
  const ClusterConfig& cluster = config_.job.cluster;
  const uint64_t most_ms = welcomed_ ? cluster.stuck_after_ms : cluster.join_deadline_ms;
  if (silence_.lasted() < std::chrono::milliseconds(most_ms)) return;
  ended_ = true;
  const auto waiting = client_.oldest_waiting();
  out.push_back(session_effect::Fail{Status(
      Code::kDeadline,
      fmt::format("worker {}: no word from the coordinator and no progress for {:.1f} s "
                  "(cluster.{} = {}); waiting for {}; is the coordinator running, and can this "
                  "host reach it",
                  config_.worker.value(), to_seconds(silence_.lasted()),
                  welcomed_ ? "stuck_after_ms" : "join_deadline_ms", most_ms,
                  !welcomed_ ? "a welcome"
                  : waiting  ? fmt::format("{}, for {:.1f} s", waiting->text,
                                           to_seconds(now - waiting->since))
                             : "lanes"))});
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
    if (current(assign->leader)) on_assign(*assign, out);
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
    out.push_back(session_effect::End{end->kind});
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

void WorkerSession::on_assign(const wire::Assign& assign, SessionEffects& out) {
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
    const Clock here = lane.clock == kNever || !busy(handover.lane) ? lane.clock : lane.clock + 1;
    lane.until = std::max(handover.clock, here);
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

// ---------------------------------------------------------------- answers

void WorkerSession::on_outcome(Outcome& outcome, SessionEffects& out) {
  ++totals_.beat;
  silence_.broken();
  totals_.bytes_pulled += outcome.reply.weights.size();
  const auto found = tasks_.find(outcome.tag.job);
  if (found == tasks_.end()) return;
  if (outcome.reply.code == wire::ReplyCode::kFenced) {
    Debt& debt = found->second.debts[outcome.tag.unit.value()];
    std::erase(debt.flying, [&] {
      std::vector<LaneId> lanes;
      for (const wire::LaneStamp& stamp : outcome.lanes) lanes.push_back(stamp.lane);
      return lanes;
    }());
    for (const wire::LaneFence& fenced : outcome.reply.fences) {
      const auto lane = lanes_.find(fenced.lane);
      if (lane != lanes_.end() && lane->second.fence < fenced.fence) {
        drop_lane(fenced.lane);
        report_ = true;
      }
    }
    return;
  }
  if (outcome.kind == RequestKind::kPush) {
    on_push_outcome(found->second, outcome, out);
  } else {
    on_pull_outcome(found->second, outcome, out);
  }
}

void WorkerSession::on_push_outcome(Task& task, Outcome& outcome, SessionEffects& out) {
  Debt& debt = task.debts[outcome.tag.unit.value()];
  std::vector<LaneId> lanes;
  for (const wire::LaneStamp& stamp : outcome.lanes) lanes.push_back(stamp.lane);
  std::erase(debt.flying, lanes);
  const bool split = outcome.reply.code == wire::ReplyCode::kSplit;
  std::erase_if(debt.owed, [&](LaneId lane) {
    return contains(lanes, lane) && !(split && contains(outcome.reply.missing, lane));
  });
  learn(outcome.reply, out);
}

void WorkerSession::on_pull_outcome(Task& task, Outcome& outcome, SessionEffects& out) {
  const wire::ReplyEntry& reply = outcome.reply;
  Debt& debt = task.debts[outcome.tag.unit.value()];
  if (task.kind == TaskKind::kSnapshotEvaluation) {
    if (reply.code == wire::ReplyCode::kPassed) {
      // Released, because somebody else did our part; or lost with its shard, and then we are asked
      // again once the shard has taken another.
      for (LaneId lane : task.to_evaluate) snapshot_lanes_.erase(lane);
      erase_task(task.number);
      return;
    }
    debt.pulled = reply.weights;
    return;
  }
  if (reply.code == wire::ReplyCode::kPassed) {
    // The step is whole in every sync unit: nothing is owed any more.
    for (Debt& each : task.debts) each.owed.clear();
    task.to_evaluate.clear();
    task.computed = true;
    return;
  }
  if (sync() && reply.version == task.clock) debt.pulled = reply.weights;
  learn(reply, out);
}

// Remembers the newest weights; an idle computing side gets them at once, so that copying overlaps
// with waiting for the others.
void WorkerSession::learn(const wire::ReplyEntry& reply, SessionEffects& out) {
  if (reply.weights.empty()) return;
  Known& known = known_[reply.unit.value()];
  if (known.valid && reply.version < known.version) return;
  known.valid = true;
  known.version = reply.version;
  known.weights = reply.weights;
  known.readable_until =
      config_.job.train.mode != Mode::kSsp || reply.least_clock == kNever
          ? kNever
          : std::max(known.readable_until, reply.least_clock + config_.job.train.staleness);
  std::optional<Version>& held = delivered_[reply.unit.value()];
  if (!job_ && held != known.version) {
    out.push_back(session_effect::DeliverWeights{reply.unit, known.weights});
    held = known.version;
  }
}

// ---------------------------------------------------------------- progress of tasks

void WorkerSession::advance(Time now, SessionEffects& out) {
  finish_tasks(out);
  start_tasks(out);
  if (!job_) start_job(out);
  for (ShardMessage& message : client_.flush(now)) {
    if (const auto* push = std::get_if<wire::Push>(&message.message)) {
      for (const wire::PushEntry& entry : push->entries)
        totals_.bytes_pushed += entry.gradient.size();
    }
    out.push_back(session_effect::Send{message.to, std::move(message.message)});
  }
  if (report_ && welcomed_) send_progress(now, out);
  const std::optional<Time> due = client_.next_due();
  out.push_back(session_effect::WakeAt{due ? std::min(*due, next_beat_) : next_beat_});
}

void WorkerSession::finish_tasks(SessionEffects& out) {
  for (auto task = tasks_.begin(); task != tasks_.end();) {
    const bool owes = std::any_of(task->second.debts.begin(), task->second.debts.end(),
                                  [](const Debt& debt) { return !debt.owed.empty(); });
    const bool in_job = job_ && job_->task == task->first;
    if (!task->second.computed || owes || in_job) {
      ++task;
      continue;
    }
    const Task done = std::move(task->second);
    client_.cancel(done.number);
    task = tasks_.erase(task);
    if (done.kind == TaskKind::kStep) finish_step(done, out);
  }
}

void WorkerSession::finish_step(const Task& task, SessionEffects& out) {
  for (const auto& [lane, fence] : task.lanes) {
    const auto mine = lanes_.find(lane);
    if (mine == lanes_.end()) continue;
    const Clock before = mine->second.clock;
    mine->second.clock = schedule_.present_from(lane, task.clock + 1);
    const Clock after = mine->second.clock;
    if (after == kNever || schedule_.epoch_of(after) != schedule_.epoch_of(before) || paused_) {
      report_ = true;
    }
    if (mine->second.until && after >= *mine->second.until) send_handing(lane, out);
  }
}

bool WorkerSession::busy(LaneId lane) const {
  return std::any_of(tasks_.begin(), tasks_.end(),
                     [&](const auto& task) { return task.second.lanes.contains(lane); });
}

void WorkerSession::start_tasks(SessionEffects& out) {
  std::vector<LaneId> idle;
  Clock lowest = kNever;
  for (const auto& [id, lane] : lanes_) {
    const bool held_back = paused_ && lane.clock >= stop_at_;
    if (lane.clock == kNever || held_back || (lane.until && lane.clock >= *lane.until) ||
        busy(id)) {
      continue;
    }
    if (lane.clock < lowest) idle.clear();
    lowest = std::min(lowest, lane.clock);
    if (lane.clock == lowest) idle.push_back(id);
  }
  if (idle.empty()) return start_final_evaluation();
  for (const auto& [number, task] : tasks_) {
    // An adopted lane that is not ahead does not wait for the step in flight.
    if (task.kind == TaskKind::kStep && lowest > task.clock) return;
  }
  Task task;
  task.number = next_number_++;
  task.clock = lowest;
  for (LaneId lane : idle) {
    task.lanes[lane] = lanes_[lane].fence;
    if (sync() && evaluation_due(lowest) && lanes_[lane].evaluated < evaluation_number(lowest)) {
      task.to_evaluate.push_back(lane);
    }
  }
  task.debts.resize(config_.units.size());
  for (Debt& debt : task.debts) debt.owed = idle;
  tasks_.emplace(task.number, std::move(task));
  out.push_back(session_effect::Follow{std::move(idle), lowest});
}

// Sync: a lane that has no rows left is evaluated once more, on the last version.
void WorkerSession::start_final_evaluation() {
  if (!sync() || !tasks_.empty() || !evaluation_due(schedule_.steps())) return;
  Task task;
  task.kind = TaskKind::kFinalEvaluation;
  task.clock = schedule_.steps();
  for (const auto& [id, lane] : lanes_) {
    const bool due = lane.evaluated < evaluation_number(schedule_.steps());
    if (lane.clock == kNever && !lane.until && due) task.to_evaluate.push_back(id);
  }
  if (task.to_evaluate.empty()) return;
  task.number = next_number_++;
  task.debts.resize(config_.units.size());
  tasks_.emplace(task.number, std::move(task));
}

bool WorkerSession::evaluation_due(Clock clock) const {
  if (config_.job.resolved.test_rows == 0 || clock == 0) return false;
  if (clock >= schedule_.steps()) return true;
  const uint64_t every = config_.job.train.eval_every_epochs;
  return every > 0 && clock % schedule_.steps_per_epoch() == 0 &&
         schedule_.epoch_of(clock) % every == 0;
}

uint64_t WorkerSession::evaluation_number(Clock clock) const {
  return (clock + schedule_.steps_per_epoch() - 1) / schedule_.steps_per_epoch();
}

// The computing side is free: the lowest clock whose weights are all here goes next.
void WorkerSession::start_job(SessionEffects& out) {
  std::vector<Task*> by_clock;
  for (auto& [number, task] : tasks_) by_clock.push_back(&task);
  std::stable_sort(by_clock.begin(), by_clock.end(),
                   [](const Task* a, const Task* b) { return a->clock < b->clock; });
  for (Task* task : by_clock) {
    const bool idle = task->to_evaluate.empty() && next_lanes(*task).empty();
    if (idle || !gather(*task)) continue;
    launch(*task, out);
    return;
  }
}

// Whether every unit's weights are here for the task; asks for those that are not.
bool WorkerSession::gather(Task& task) {
  bool complete = true;
  for (const UnitSpec& unit : config_.units) {
    const Known& known = known_[unit.id.value()];
    bool here = !task.debts[unit.id.value()].pulled.empty();
    if (task.kind != TaskKind::kSnapshotEvaluation) {
      here = here || (known.valid &&
                      (sync() ? known.version == task.clock : known.readable_until >= task.clock));
    }
    if (here) continue;
    complete = false;
    const RequestTag tag{task.number, unit.id};
    if (!client_.in_flight(tag, RequestKind::kPull)) client_.pull(tag, task.clock, task.snapshot);
  }
  return complete;
}

void WorkerSession::launch(Task& task, SessionEffects& out) {
  Job job;
  job.number = next_number_++;
  job.task = task.number;
  for (const UnitSpec& unit : config_.units) {
    Debt& debt = task.debts[unit.id.value()];
    const Known& known = known_[unit.id.value()];
    const bool newest = task.kind != TaskKind::kSnapshotEvaluation && known.valid &&
                        (!sync() || known.version == task.clock);
    const Version version = newest ? known.version : task.clock;
    const bool snapshot = task.kind == TaskKind::kSnapshotEvaluation;
    std::optional<Version>& held = delivered_[unit.id.value()];
    if (snapshot || held != version) {
      out.push_back(session_effect::DeliverWeights{unit.id, newest ? known.weights : debt.pulled});
      held = snapshot ? std::nullopt : std::optional<Version>(version);
    }
    job.base.push_back(version);
  }
  if (!task.to_evaluate.empty()) {
    job.evaluates = true;
    out.push_back(session_effect::EvaluateSlices{job.number, task.to_evaluate});
  } else {
    job.groups = group(next_lanes(task), task.clock);
    out.push_back(session_effect::Compute{job.number, task.clock, job.groups});
  }
  job_ = std::move(job);
}

// Lanes whose gradient some unit still needs and nobody is sending: at first all of them, later
// what a split or a fence has left over.
std::vector<LaneId> WorkerSession::next_lanes(const Task& task) const {
  for (const Debt& debt : task.debts) {
    std::vector<LaneId> left;
    for (LaneId lane : debt.owed) {
      const bool flying = std::any_of(debt.flying.begin(), debt.flying.end(),
                                      [&](const auto& lanes) { return contains(lanes, lane); });
      if (!flying) left.push_back(lane);
    }
    if (!left.empty()) return left;
  }
  return {};
}

std::vector<LaneGroup> WorkerSession::group(const std::vector<LaneId>& lanes, Clock clock) const {
  if (!sync()) return {{{0, schedule_.lanes()}, lanes}};
  // A node may stand for its lanes when all of them that have rows are ours: absent ones count as
  // ours.
  std::vector<uint32_t> owned;
  for (uint32_t lane = 0; lane < schedule_.lanes(); ++lane) {
    if (contains(lanes, LaneId(lane)) || !schedule_.present(LaneId(lane), clock)) {
      owned.push_back(lane);
    }
  }
  std::vector<LaneGroup> groups;
  for (const LaneRange& node : cover_by_tree_nodes(owned, schedule_.lanes())) {
    LaneGroup group{node, {}};
    for (LaneId lane : lanes) {
      if (node.low <= lane.value() && lane.value() < node.high) group.lanes.push_back(lane);
    }
    if (!group.lanes.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

void WorkerSession::push_unit(Task& task, const Job& job, const LaneGroup& group,
                              const UnitSpec& unit, const Buffer& gradient) {
  Debt& debt = task.debts[unit.id.value()];
  for (LaneId lane : group.lanes) {
    const bool flying = std::any_of(debt.flying.begin(), debt.flying.end(),
                                    [&](const auto& lanes) { return contains(lanes, lane); });
    // Answered, dropped or on its way: the rest, if any, is computed again without it.
    if (flying || !contains(debt.owed, lane)) return;
  }
  wire::PushEntry entry;
  for (LaneId lane : group.lanes) {
    entry.lanes.push_back({lane, task.lanes.at(lane), task.clock,
                           static_cast<double>(schedule_.rows_at(lane, task.clock))});
  }
  entry.node_low = group.node.low;
  entry.node_high = group.node.high;
  entry.base_version = job.base[unit.id.value()];
  entry.gradient = gradient.slice(unit.first_element * sizeof(float), unit.bytes());
  debt.flying.push_back(group.lanes);
  client_.push({task.number, unit.id}, std::move(entry));
}

// ---------------------------------------------------------------- lanes and tasks that go

void WorkerSession::drop_lane(LaneId lane) {
  lanes_.erase(lane);
  std::vector<uint64_t> empty;
  for (auto& [number, task] : tasks_) {
    if (task.kind == TaskKind::kSnapshotEvaluation) continue;  // not bound to who owns the lane
    std::erase(task.to_evaluate, lane);
    if (task.lanes.erase(lane) > 0) {
      client_.cancel_lane_pushes(number, lane);
      for (Debt& debt : task.debts) {
        std::erase(debt.owed, lane);
        std::erase_if(debt.flying, [&](const auto& lanes) { return contains(lanes, lane); });
      }
    }
    const bool final = task.kind == TaskKind::kFinalEvaluation;
    if (final ? task.to_evaluate.empty() : task.lanes.empty()) empty.push_back(number);
  }
  for (uint64_t number : empty) erase_task(number);
}

void WorkerSession::erase_task(uint64_t number) {
  client_.cancel(number);
  tasks_.erase(number);
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
          .process = config_.process};
}

// Where the time since the last event went while nothing was computed: async pushes are answered as
// they arrive, sync ones when the step closes.
void WorkerSession::account(Time now) {
  const double seconds = to_seconds(now - accounted_);
  accounted_ = now;
  if (job_ || tasks_.empty()) return;
  const bool pushing = std::any_of(tasks_.begin(), tasks_.end(),
                                   [](const auto& task) { return task.second.computed; });
  const Mode mode = config_.job.train.mode;
  if (pushing) {
    (mode == Mode::kSync ? totals_.shares.wait : totals_.shares.push) += seconds;
  } else {
    (mode == Mode::kSsp ? totals_.shares.wait : totals_.shares.pull) += seconds;
  }
}

}  // namespace ballast
