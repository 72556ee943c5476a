// Who is in: the coordinator's part that takes members in, hears how far they are, and gives up who
// is silent. What is known of each is in membership.h and progress_board.h.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "server/coordinator/admission.h"
#include "server/coordinator/coordinator.h"

namespace ballast {
namespace {

std::vector<uint32_t> numbers_of(const std::vector<LaneId>& lanes) {
  std::vector<uint32_t> numbers;
  for (LaneId lane : lanes) numbers.push_back(lane.value());
  return numbers;
}

}  // namespace

bool Coordinator::refuses(const Peer& from, const wire::Join& message) {
  const JobIdentity job{setup_.job_hash, setup_.config.resolved.run};
  const auto reason = refusal_of(message, from, job, membership_);
  if (!reason) return false;
  note("refused: " + *reason);
  send(from, wire::Refused{0, *reason});
  return true;
}

// Told whenever it speaks, until it has heard it.
void Coordinator::displace(const Peer& from) {
  if (const auto reason = displacement_of(from, membership_)) send(from, wire::Refused{0, *reason});
}

void Coordinator::on(const Peer& from, const wire::Join& message, Time now) {
  if (refuses(from, message)) return;
  if (message.role == Role::kTool) {  // a reader: told where units are, never waited for
    send(from, wire::Welcome{0, 0});
    if (started_) send_view(from);
    return;
  }
  const bool is_worker = message.role == Role::kWorker;
  const bool was_in =
      is_worker && membership_.worker(WorkerId(message.index)).presence == Presence::kIn;
  const Member* member = membership_.find(from);
  const Peer before{from.role, from.index, member->incarnation};
  const bool knew_arithmetic = !member->arithmetic.empty();
  const Arrival arrival = membership_.joined(message, now);
  if (arrival == Arrival::kRestarted) {
    ++restarts_;
    displace(before);
  }
  // The old life's lanes must not reach the new one, which knows nothing of them.
  if (was_in && arrival == Arrival::kRestarted) {
    fences_raised_ += plan_.fence_lanes_of(WorkerId(message.index));
    fence_order_due_ = true;
  }
  send(from, wire::Welcome{0, 0});
  if (is_worker) {
    worker_joined(WorkerId(message.index), arrival, now);
    if (arrival != Arrival::kKnown || !knew_arithmetic) {
      compare_arithmetic(WorkerId(message.index));
    }
  } else {
    shard_joined(ShardId(message.index), arrival, now);
  }
}

void Coordinator::worker_joined(WorkerId worker, Arrival arrival, Time) {
  if (arrival != Arrival::kKnown) {
    note(fmt::format("{} joined{}", name_of(worker, membership_.worker(worker)),
                     started_ ? " as a spare" : ""));
  }
  // Also the answer to a worker that heard of a newer view in a heartbeat answer and joined again.
  if (started_) send_view(membership_.peer(worker));
}

// A lane's gradients have the same bits on all workers of one kind only. Told once a kind, and
// again by a coordinator that was restarted.
void Coordinator::compare_arithmetic(WorkerId worker) {
  const Member& member = membership_.worker(worker);
  if (setup_.config.train.mode != Mode::kSync || member.arithmetic.empty()) return;
  std::optional<WorkerId> other;
  for (WorkerId id : membership_.workers_in()) {
    const std::string& arithmetic = membership_.worker(id).arithmetic;
    if (id == worker || arithmetic.empty()) continue;
    if (arithmetic == member.arithmetic) return;
    if (!other) other = id;
  }
  if (!other) return;
  note(fmt::format(
      "{} computes with {}, {} with {}: in this job the bits of the weights depend on which of "
      "them has which lane; give it workers of one kind if they must be the same in every run",
      name_of(worker, member), member.arithmetic, name_of(*other, membership_.worker(*other)),
      membership_.worker(*other).arithmetic));
}

void Coordinator::shard_joined(ShardId shard, Arrival arrival, Time) {
  const Member& member = membership_.shard(shard);
  const std::string name = name_of(shard, member);
  if (arrival != Arrival::kKnown) note(name + " joined");
  if (arrival == Arrival::kRestarted && started_) {
    const bool has_units = std::ranges::find(setup_.placement, shard) != setup_.placement.end();
    if (has_units && !member.journal) {
      return fail(Status(Code::kUnavailable,
                         fmt::format("{} was started again without its units, at step {} of the "
                                     "job: {}",
                                     name, plan_.least_clock(), resume_hint())));
    }
    plan_.forget(shard);
    if (snapshot_) snapshot_->taken[shard.value()] = false;  // copies do not survive
    raise_view(name + " was restarted");
  }
  if (!member.loaded) send_load(shard);
}

void Coordinator::came_back(const Peer& from, Time) {
  note(fmt::format("{} is there after all", to_string(from)));
  if (from.role == Role::kWorker && started_) send_view(from);
}

void Coordinator::on(const Peer& from, const wire::Loaded& message, Time now) {
  if (from.role != Role::kServer || message.incarnation != from.incarnation) return;
  Member& shard = membership_.shard(ShardId(from.index));
  if (shard.loaded) return;
  shard.loaded = true;
  state_moved_ = now;
  note(fmt::format("{} has loaded its units", name_of(ShardId(from.index), shard)));
  if (started_ && !plan_.unowned().empty()) send_fence_order(ShardId(from.index));
}

void Coordinator::on(const Peer& from, const wire::WorkerProgress& message, Time now) {
  if (from.role != Role::kWorker || message.worker.value() != from.index) return;
  if (message.incarnation != from.incarnation) return;
  const WorkerId worker = message.worker;
  membership_.beat(from, message.beat, now);
  board_.report(message, now);
  for (const wire::LaneProgress& lane : message.lanes) {
    plan_.progress(worker, lane);
    if (stop_) stop_->report(plan_, worker, lane, false);
  }
  send(from, wire::BeatAnswer{0, 0, view_});
}

void Coordinator::on(const Peer& from, const wire::ShardProgress& message, Time now) {
  if (from.role != Role::kServer || message.shard.value() != from.index) return;
  if (message.incarnation != from.incarnation) return;
  membership_.beat(from, message.beat, now);
  board_.report(message);
  send(from, wire::BeatAnswer{0, 0, view_});
}

void Coordinator::on(const Peer& from, const wire::Failed& message, Time) {
  // An old life, or somebody who was refused: not our job's failure.
  const bool member = (from.role == Role::kWorker && from.index < membership_.worker_limit() &&
                       from.incarnation == membership_.worker(WorkerId(from.index)).incarnation) ||
                      (from.role == Role::kServer && from.index < membership_.shard_count() &&
                       from.incarnation == membership_.shard(ShardId(from.index)).incarnation);
  if (!member) return;
  std::vector<std::string> chain = message.chain;
  if (chain.empty()) chain.push_back("no reason was given");
  Status status(message.code == Code::kOk ? Code::kInternal : message.code, chain.front());
  for (size_t i = 1; i < chain.size(); ++i) status = std::move(status).because(chain[i]);
  fail(std::move(status).because(fmt::format("reported by {} {} at step {} of the job",
                                             role_name(message.role), message.index,
                                             plan_.least_clock())));
}

void Coordinator::watch(Time now) {
  for (WorkerId worker : membership_.workers_in()) {
    Member& member = membership_.worker(worker);
    if (membership_.dead(member, now)) {
      worker_gone(worker, membership_.why_dead(member, now), now);
    } else if (!plan_.lanes_of(worker).empty() && !trained_ && !member.stuck_told &&
               membership_.stuck(member, now) > Duration(0)) {
      member.stuck_told = true;
      note(fmt::format("{} answers but has made no progress for {}", name_of(worker, member),
                       seconds_text(membership_.stuck(member, now))));
    }
  }
  for (uint32_t i = 0; i < membership_.shard_count() && !ending_; ++i) watch_shard(ShardId(i), now);

  if (!membership_.workers_in().empty()) no_worker_since_ = now;
  if (started_ && !trained_ && !ending_ && now - no_worker_since_ >= patience_.join) {
    fail(Status(Code::kDeadline,
                fmt::format("no worker is left for {}, at step {} of {}: {}",
                            seconds_text(now - no_worker_since_), plan_.least_clock(),
                            setup_.schedule.steps(), resume_hint())));
  }
}

void Coordinator::watch_shard(ShardId shard, Time now) {
  Member& member = membership_.shard(shard);
  if (membership_.dead(member, now)) {
    shard_gone(shard, membership_.why_dead(member, now), now);
  } else if (started_ && member.presence == Presence::kGone &&
             now - member.since >= patience_.join) {
    fail(Status(Code::kDeadline,
                fmt::format("{} has not come back for {}: {}", name_of(shard, member),
                            seconds_text(now - member.since), resume_hint())));
  }
}

void Coordinator::worker_gone(WorkerId worker, const std::string& why, Time now) {
  const std::vector<LaneId> lanes = plan_.lanes_of(worker);
  membership_.gone(worker, now);
  const uint32_t fenced = plan_.fence_lanes_of(worker);
  fences_raised_ += fenced;
  if (fenced > 0) fence_order_due_ = true;
  note(fmt::format("{} is given up: {}; its lanes: [{}]",
                   name_of(worker, membership_.worker(worker)), why,
                   fmt::join(numbers_of(lanes), ", ")));
}

void Coordinator::shard_gone(ShardId shard, const std::string& why, Time now) {
  const Member& member = membership_.shard(shard);
  membership_.gone(shard, now);
  const bool survives = setup_.config.checkpoint.durability != Durability::kCheckpoint;
  if (!started_ || survives) {
    return note(fmt::format("{} is away: {}", name_of(shard, member), why));
  }
  const wire::ShardProgress* last = board_.shard(shard);
  fail(Status(Code::kUnavailable,
              fmt::format("{} is lost: {}; its last version was {}, the job's step {} of {}; "
                          "its units were in memory only (checkpoint.durability = \"checkpoint\"): "
                          "{}",
                          name_of(shard, member), why, last ? last->version_min : 0,
                          plan_.least_clock(), setup_.schedule.steps(), resume_hint())));
}

}  // namespace ballast
