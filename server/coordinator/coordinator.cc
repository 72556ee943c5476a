#include "server/coordinator/coordinator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "server/coordinator/replan.h"

namespace ballast {
namespace {

constexpr Duration kReplanEvery = 500ms;
// Fewer steps left are over before a move has taken effect.
constexpr Clock kReplanStepsMin = 6;

// More workers than lanes could never all train; a few spares may wait all the same.
uint32_t workers_max(const JobConfig& config, const LaneSchedule& schedule) {
  return std::max(config.cluster.workers, schedule.lanes()) + config.cluster.workers;
}

Status check_setup(const CoordinatorSetup& setup) {
  const auto bad = [](std::string text) { return Status(Code::kInvalidInput, std::move(text)); };
  if (setup.placement.empty()) {
    return bad("the model has no parameters: expected at least one unit to train");
  }
  for (ShardId shard : setup.placement) {
    if (shard.value() < setup.config.shard_count()) continue;
    return bad(fmt::format("a unit is placed on shard {}, expected shards 0 to {}", shard.value(),
                           setup.config.shard_count() - 1));
  }
  if (setup.config.cluster.workers == 0) {
    return bad("cluster.workers is 0: expected at least 1 worker");
  }
  if (setup.schedule.steps() == 0) return bad("the job has no steps: expected training rows");
  if (setup.resume && setup.resume->clock > setup.schedule.steps()) {
    return bad(
        fmt::format("checkpoint {} is at step {}, the job ends at step {}: raise "
                    "train.epochs or train.max_steps, or resume an older checkpoint",
                    setup.resume->id, setup.resume->clock, setup.schedule.steps()));
  }
  if (setup.resume && setup.resume->mode != setup.config.train.mode) {
    return bad(
        fmt::format("checkpoint {} was written in another mode than train.mode: resume it "
                    "with the mode it was written in",
                    setup.resume->id));
  }
  return Status();
}

Status check_state(const SavedState& state, const CoordinatorSetup& setup) {
  const auto bad = [](const char* what, size_t expected, size_t found) {
    return Status(Code::kDataLoss,
                  fmt::format("saved state of the coordinator: expected {} {}, found {}; it is of "
                              "another job",
                              expected, what, found));
  };
  const uint32_t workers = workers_max(setup.config, setup.schedule);
  if (state.lanes.size() != setup.schedule.lanes()) {
    return bad("lanes", setup.schedule.lanes(), state.lanes.size());
  }
  if (state.shards.size() != setup.config.shard_count()) {
    return bad("shards", setup.config.shard_count(), state.shards.size());
  }
  if (state.workers.size() != workers) return bad("workers", workers, state.workers.size());
  for (const SavedLane& lane : state.lanes) {
    const auto fits = [&](WorkerId worker) { return worker.value() < workers; };
    if (lane.owner && !fits(*lane.owner)) return bad("workers", workers, lane.owner->value());
    if (lane.handover && (!fits(lane.handover->from) || !fits(lane.handover->to))) {
      return bad("workers", workers, lane.handover->to.value());
    }
  }
  return Status();
}

}  // namespace

// ---------------------------------------------------------------- making and remembering

Result<std::unique_ptr<Coordinator>> Coordinator::create(CoordinatorSetup setup) {
  BALLAST_RETURN_IF_ERROR(check_setup(setup));
  std::optional<SavedState> state;
  if (setup.state) {
    BALLAST_ASSIGN(state, decode_saved_state(setup.state->bytes()));
    BALLAST_RETURN_IF_ERROR(check_state(*state, setup));
  }
  std::unique_ptr<Coordinator> coordinator(new Coordinator(std::move(setup)));
  if (state) coordinator->restore(*state);
  return coordinator;
}

Coordinator::Coordinator(CoordinatorSetup setup)
    : setup_(std::move(setup)),
      patience_(patience_of(setup_.config.cluster)),
      membership_(workers_max(setup_.config, setup_.schedule), setup_.config.shard_count(),
                  patience_),
      plan_(setup_.schedule, setup_.placement),
      evaluation_(setup_.schedule, setup_.config.train.eval_every_epochs,
                  setup_.config.resolved.test_rows > 0),
      checkpoints_(setup_.config.train.mode, setup_.config.checkpoint.every_steps,
                   setup_.config.shard_count()),
      board_(workers_max(setup_.config, setup_.schedule), setup_.config.shard_count()) {
  if (!setup_.resume) return;
  checkpoints_.begin_after(setup_.resume->id);
  // What lies before the checkpoint was evaluated by whoever wrote it; what lies at it may not be.
  if (setup_.resume->clock > 0) evaluation_done_ = evaluation_.passed(setup_.resume->clock - 1);
}

void Coordinator::restore(const SavedState& state) {
  leader_ = state.leader + 1;
  view_ = state.view;
  started_ = state.started;
  trained_ = state.trained;
  stop_requested_ = state.stop_requested;
  evaluation_done_ = state.evaluation_done;
  restarts_ = state.restarts + 1;
  lane_moves_ = state.lane_moves;
  fences_raised_ = state.fences_raised;
  ending_ = state.ending;
  if (state.ending_code != Code::kOk) {
    ending_status_ =
        Status(state.ending_code, fmt::format("{}", fmt::join(state.ending_chain, "; ")));
  }
  membership_.restore(state);
  plan_.restore(state.lanes);
  checkpoints_.restore(state);
}

SavedState Coordinator::save() const {
  SavedState state;
  state.leader = leader_;
  state.view = view_;
  state.started = started_;
  state.trained = trained_;
  state.stop_requested = stop_requested_;
  state.evaluation_done = evaluation_done_;
  state.restarts = restarts_;
  state.lane_moves = lane_moves_;
  state.fences_raised = fences_raised_;
  state.ending = ending_;
  state.ending_code = ending_status_.code();
  state.ending_chain = ending_status_.chain();
  membership_.save(state);
  state.lanes = plan_.save();
  checkpoints_.save(state);
  return state;
}

// ---------------------------------------------------------------- the switch

void Coordinator::handle(const CoordinatorEvent& event, Time now, CoordinatorEffects& out) {
  if (!begun_) begin(now);
  std::visit([&](const auto& it) { on(it, now); }, event);
  if (!ending_) advance(now);

  // Rows come before the state that says they are written, everything else after the state it rests
  // on. Comparing bytes forgets no field.
  for (MetricRow& row : rows_) out.push_back(std::move(row));
  rows_.clear();
  Buffer state = encode(save());
  if (!std::ranges::equal(state.bytes(), saved_.bytes())) {
    saved_ = state;
    out.push_back(SaveState{std::move(state)});
  }
  std::move(effects_.begin(), effects_.end(), std::back_inserter(out));
  effects_.clear();
}

void Coordinator::begin(Time now) {
  begun_ = true;
  membership_.begin(now);
  state_moved_ = snapshot_moved_ = checkpoint_moved_ = now;
  unowned_since_ = no_worker_since_ = replan_at_ = now;
  effects_.push_back(WakeAt{now + patience_.tick});
  if (leader_ > 1) note(fmt::format("coordinator restarted, leader {}", leader_));
  if (stop_requested_) stop_.emplace(setup_.config.train.mode, setup_.schedule);
  if (ending_) end(*ending_, ending_status_);
}

void Coordinator::on(const Received& event, Time now) {
  const Peer& from = event.from;
  if (ending_) return last_figures(event, now);
  // A join and a failure may come from somebody who is not in yet.
  const bool anybody = std::holds_alternative<wire::Join>(event.message) ||
                       std::holds_alternative<wire::Failed>(event.message);
  if (!anybody && !membership_.heard(from, now)) {
    const bool beats = std::holds_alternative<wire::WorkerProgress>(event.message) ||
                       std::holds_alternative<wire::ShardProgress>(event.message);
    if (!beats || !membership_.returned(from, now)) return displace(from);
    came_back(from, now);
  }
  std::visit([&](const auto& message) { on(from, message, now); }, event.message);
}

// After the end: totals are still taken, and whoever has not heard of the end is told.
void Coordinator::last_figures(const Received& event, Time now) {
  if (event.from.role == Role::kCoordinator) return;
  // Whoever is not of this job must not take its end for the end of their own.
  const auto* join = std::get_if<wire::Join>(&event.message);
  if (join != nullptr && refuses(event.from, *join)) return;
  if (membership_.heard(event.from, now)) {
    if (const auto* worker = std::get_if<wire::WorkerProgress>(&event.message)) {
      on(event.from, *worker, now);
    } else if (const auto* shard = std::get_if<wire::ShardProgress>(&event.message)) {
      on(event.from, *shard, now);
    }
  }
  send(event.from, wire::End{0, *ending_, ending_status_.ok() ? "" : ending_status_.to_string()});
}

void Coordinator::on(const Tick&, Time now) {
  effects_.push_back(WakeAt{now + patience_.tick});
  if (ending_) return;
  watch(now);
  if (!ending_) replan(now);
  if (!ending_) repeat_orders(now);
  if (!ending_) give_up_what_stands_still(now);
}

// ---------------------------------------------------------------- lanes

void Coordinator::advance(Time now) {
  start_if_complete(now);
  if (!started_) return;
  if (plan_.least_clock() != least_seen_) {
    least_seen_ = plan_.least_clock();
    state_moved_ = now;
  }
  give_lanes(now);
  trained_ = trained_ || plan_.all_finished();
  advance_evaluation(now);
  advance_checkpoint(now);
  if (stop_requested_) {
    advance_stop(now);
  } else if (trained_) {
    advance_end(now);
  }
  if (state() != state_seen_) {
    state_seen_ = state();
    state_moved_ = now;
    note(fmt::format("the job is now {}", job_state_name(state_seen_)));
  }
}

void Coordinator::start_if_complete(Time now) {
  if (started_ || !membership_.missing(setup_.config.cluster.workers, now).empty()) return;
  started_ = true;
  fence_order_due_ = true;
  unowned_since_ = now;
  raise_view("every process has joined");
}

void Coordinator::raise_view(const std::string& why) {
  ++view_;
  note(fmt::format("view {}: {}", view_, why));
  for (WorkerId worker : membership_.workers_in()) send_view(membership_.peer(worker));
}

void Coordinator::give_lanes(Time now) {
  if (plan_.unowned().empty()) unowned_since_ = now;
  if (fence_order_due_) {
    for (ShardId shard : membership_.shards_in()) {
      if (membership_.shard(shard).loaded) send_fence_order(shard);
    }
    fence_order_due_ = false;
  }
  const std::vector<LaneId> given = plan_.give(membership_.workers_in());
  if (given.empty()) return;
  if (stop_requested_) send_stop_orders();  // before the lanes, so that they do not run ahead
  for (LanePlan::Order& order : plan_.assignments(given)) send_order(std::move(order));
}

void Coordinator::on(const Peer& from, const wire::FenceMarks& message, Time) {
  if (from.role != Role::kServer || message.shard.value() != from.index) return;
  if (message.incarnation != from.incarnation || !membership_.shard(message.shard).loaded) return;
  if (!plan_.report(message)) {
    note(fmt::format("ignored the marks of {}: they do not fit this job", to_string(from)));
  }
}

void Coordinator::on(const Peer& from, const wire::Assigned& message, Time) {
  if (from.role == Role::kWorker)
    plan_.assigned(WorkerId(from.index), message.lane, message.number);
}

void Coordinator::on(const Peer& from, const wire::Handing& message, Time) {
  if (from.role != Role::kWorker || !plan_.handing(WorkerId(from.index), message)) return;
  for (LanePlan::Order& order : plan_.assignments({message.lane})) send_order(std::move(order));
}

void Coordinator::on(const MoveLane& event, Time) {
  if (ending_ || !started_ || trained_ || stop_requested_) return;
  if (event.lane.value() >= plan_.lane_count()) return;
  if (event.to.value() >= membership_.worker_limit()) return;
  if (membership_.worker(event.to).presence != Presence::kIn) return;
  if (!plan_.plan_move(event.lane, event.to)) return;
  ++lane_moves_;
  note(fmt::format("lane {} moves from worker {} to worker {}", event.lane.value(),
                   plan_.owner(event.lane)->value(), event.to.value()));
  for (LanePlan::Order& order : plan_.orders()) {
    const auto* handover = std::get_if<wire::Handover>(&order.message);
    if (handover != nullptr && handover->lane == event.lane) send_order(std::move(order));
  }
}

void Coordinator::replan(Time now) {
  if (sync() || !setup_.config.train.replan_lanes || now < replan_at_) return;
  replan_at_ = now + kReplanEvery;
  const bool settled = started_ && !trained_ && !stop_requested_ && !plan_.moving() &&
                       plan_.unowned().empty() && plan_.unconfirmed().empty();
  if (!settled) return;
  std::vector<LaneLoad> lanes(plan_.lane_count());
  for (uint32_t i = 0; i < lanes.size(); ++i) {
    const Clock clock = std::min<Clock>(plan_.clock(LaneId(i)), setup_.schedule.steps());
    const Clock left = setup_.schedule.steps() - clock;
    lanes[i].samples_left =
        static_cast<double>(left) * static_cast<double>(setup_.schedule.lane_step());
    lanes[i].movable = left >= kReplanStepsMin;
  }
  std::vector<WorkerLoad> workers;
  for (WorkerId worker : membership_.workers_in()) {
    if (membership_.worker(worker).lost) continue;
    workers.push_back({worker, board_.speed(worker), plan_.lanes_of(worker)});
  }
  if (const auto move = propose_move(workers, lanes)) on(MoveLane{move->lane, move->to}, now);
}

// ---------------------------------------------------------------- sending

void Coordinator::repeat_orders(Time) {
  for (ShardId shard : membership_.shards_in()) {
    if (!membership_.shard(shard).loaded) send_load(shard);
  }
  if (!started_) return;
  if (!plan_.unowned().empty()) fence_order_due_ = true;
  if (stop_requested_) send_stop_orders();
  for (LanePlan::Order& order : plan_.orders()) send_order(std::move(order));
  send_evaluation_orders();
  send_checkpoint_orders();
}

void Coordinator::send_order(LanePlan::Order order) {
  const Peer to = membership_.peer(order.to);
  if (auto* assign = std::get_if<wire::Assign>(&order.message)) send(to, *assign);
  if (auto* handover = std::get_if<wire::Handover>(&order.message)) send(to, *handover);
}

void Coordinator::send_load(ShardId shard) {
  wire::Load load;
  load.incarnation = membership_.shard(shard).incarnation;
  load.fences = plan_.fences();
  if (started_ && membership_.shard(shard).journal) {
    load.source = wire::LoadSource::kJournal;
  } else if (setup_.resume) {
    load.source = wire::LoadSource::kCheckpoint;
    load.checkpoint = setup_.resume->id;
    load.checkpoint_folder = setup_.resume->folder;
  }
  for (uint32_t unit = 0; unit < setup_.placement.size(); ++unit) {
    if (setup_.placement[unit] == shard) load.units.push_back({UnitId(unit), shard, 0});
  }
  send(membership_.peer(shard), std::move(load));
}

void Coordinator::send_view(const Peer& to) {
  wire::View view;
  view.number = view_;
  for (uint32_t i = 0; i < membership_.shard_count(); ++i) {
    const Member& shard = membership_.shard(ShardId(i));
    view.shards.push_back({ShardId(i), shard.endpoint, shard.incarnation});
  }
  for (uint32_t unit = 0; unit < setup_.placement.size(); ++unit) {
    view.units.push_back({UnitId(unit), setup_.placement[unit], 0});
  }
  send(to, std::move(view));
}

void Coordinator::send_fence_order(ShardId shard) {
  send(membership_.peer(shard), wire::FenceOrder{0, plan_.fences()});
}

}  // namespace ballast
