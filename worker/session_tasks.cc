// The steps and evaluations of a worker, from the weights they ask for to the last answer they
// need.
#include <algorithm>

#include "common/base/check.h"
#include "worker/session.h"

namespace ballast {
namespace {

template <typename T>
bool contains(const std::vector<T>& items, const T& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

}  // namespace

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

// Remembers the newest weights. The computing side gets them at once, so that copying overlaps with
// waiting for the others, or with the step under way; but each unit only once in a step, because
// orders that wait there must not pile up. What comes after is given when the next one starts.
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
  Delivered& delivered = delivered_[reply.unit.value()];
  if (delivered.version == known.version || (job_ && delivered.ahead)) return;
  out.push_back(session_effect::DeliverWeights{reply.unit, known.weights});
  delivered = {.version = known.version, .ahead = job_.has_value()};
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
    if (!task->second.computed || owes || in_job || follows_another(task->second)) {
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

Clock WorkerSession::unreached(LaneId id, const Lane& lane) const {
  Clock clock = lane.clock;
  for (const auto& [number, task] : tasks_) {
    if (task.lanes.contains(id)) clock = std::max(clock, task.clock + 1);
  }
  return clock;
}

// Whether a step of this clock may begin beside those in flight. One that is ahead of others waits
// until they are sent, and until they are few enough; one that is not waits for nobody.
bool WorkerSession::may_start(Clock clock) const {
  const size_t most = sync() ? 1 : config_.job.train.steps_in_flight;
  size_t behind = 0;
  for (const auto& [number, task] : tasks_) {
    if (task.kind != TaskKind::kStep || task.clock >= clock) continue;
    if (++behind >= most || !task.computed) return false;
  }
  return true;
}

// A lane's steps are done in the order of its clocks, in whatever order their answers come.
bool WorkerSession::follows_another(const Task& task) const {
  return std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& entry) {
    const Task& other = entry.second;
    return other.clock < task.clock &&
           std::any_of(task.lanes.begin(), task.lanes.end(),
                       [&](const auto& lane) { return other.lanes.contains(lane.first); });
  });
}

void WorkerSession::start_tasks(SessionEffects& out) {
  std::vector<LaneId> idle;
  Clock lowest = kNever;
  for (const auto& [id, lane] : lanes_) {
    const Clock next = schedule_.present_from(id, unreached(id, lane));
    const bool held_back = paused_ && next >= stop_at_;
    if (next == kNever || held_back || (lane.until && next >= *lane.until)) continue;
    if (next < lowest) idle.clear();
    lowest = std::min(lowest, next);
    if (next == lowest) idle.push_back(id);
  }
  if (idle.empty()) return start_final_evaluation();
  if (!may_start(lowest)) return;
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
    if (client_.in_flight(tag, RequestKind::kPull) || weights_coming(task, unit.id)) continue;
    client_.pull(tag, task.clock, task.snapshot);
  }
  return complete;
}

// Async, ssp: the answer to a push of an earlier step brings the weights; asked for as well they
// would travel twice. If they are too old still, they are asked for then.
bool WorkerSession::weights_coming(const Task& task, UnitId unit) const {
  if (sync() || task.kind != TaskKind::kStep) return false;
  return std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& entry) {
    const auto& [number, other] = entry;
    return other.kind == TaskKind::kStep && other.clock < task.clock &&
           client_.in_flight({number, unit}, RequestKind::kPush);
  });
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
    Delivered& delivered = delivered_[unit.id.value()];
    if (snapshot || delivered.version != version) {
      out.push_back(session_effect::DeliverWeights{unit.id, newest ? known.weights : debt.pulled});
      delivered.version = snapshot ? std::nullopt : std::optional<Version>(version);
    }
    delivered.ahead = false;
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

void WorkerSession::push_unit(Task& task, const Job& job, const session_event::GradientReady& ready,
                              const UnitSpec& unit, const Buffer& gradient) {
  const LaneGroup& group = job.groups.at(ready.group);
  BALLAST_CHECK(ready.lane_weights.size() == group.lanes.size());
  BALLAST_CHECK(ready.rows_hashes.size() == group.lanes.size());
  Debt& debt = task.debts[unit.id.value()];
  for (LaneId lane : group.lanes) {
    const bool flying = std::any_of(debt.flying.begin(), debt.flying.end(),
                                    [&](const auto& lanes) { return contains(lanes, lane); });
    // Answered, dropped or on its way: the rest, if any, is computed again without it.
    if (flying || !contains(debt.owed, lane)) return;
  }
  wire::PushEntry entry;
  for (size_t i = 0; i < group.lanes.size(); ++i) {
    const LaneId lane = group.lanes[i];
    entry.lanes.push_back(
        {lane, task.lanes.at(lane), task.clock, ready.lane_weights[i], ready.rows_hashes[i]});
  }
  entry.node_low = group.node.low;
  entry.node_high = group.node.high;
  entry.base_version = job.base[unit.id.value()];
  entry.kind = config_.job.train.push == PushKind::kDelta ? wire::PushKind::kDelta
                                                          : wire::PushKind::kGradient;
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

}  // namespace ballast
