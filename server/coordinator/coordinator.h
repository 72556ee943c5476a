// Coordinator: the one leader of a job. It knows who is in, which worker trains which lane, and
// when to evaluate, to checkpoint and to end; it is not on the data path, and training goes on
// while it is away. The rules of lanes: server/coordinator/README.md.
//
// A decider: handle(event, now, effects). No thread, socket, file, clock or randomness of its own;
// the same events at the same times give the same effects. Owner thread: one.
//
// Promises:
//  - A lane has one owner. It is given away only when every unit of the job has been reported under
//    the lane's current fence; the new owner starts at the least mark.
//  - What others must not see contradicted is in a SaveState that stands before the messages that
//    rest on it. A coordinator created from the last SaveState goes on as the next leader.
//  - Orders are repeated until answered; every wait has a deadline, and status() says who is waited
//    for, since when and why.
//
// What the main does: it calls handle(Tick) once at the start and then at each WakeAt (a later
// WakeAt replaces an earlier one), carries the effects out in order, and leaves the loop at Finish.
// After Finish every message is still answered with End, so that a process that missed it hears it
// while the main lingers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/time.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "common/wire/messages.h"
#include "server/coordinator/checkpoint_rounds.h"
#include "server/coordinator/evaluation_round.h"
#include "server/coordinator/job_status.h"
#include "server/coordinator/lane_plan.h"
#include "server/coordinator/membership.h"
#include "server/coordinator/progress_board.h"
#include "server/coordinator/saved_state.h"
#include "server/coordinator/stop_round.h"

namespace ballast {

// ---------------------------------------------------------------- events

// A decoded message; `from` carries the sender's real incarnation.
struct Received {
  Peer from;
  wire::Any message;
};
// The transport lost the peer. Not a proof of death: it only shortens the patience.
struct PeerLost {
  Peer peer;
};
// A connection to the peer stands, perhaps again: it lives.
struct PeerBack {
  Peer peer;
};
struct Tick {};
// Ctrl-C: checkpoint and stop.
struct StopRequested {};
// Answers to CommitManifest. A manifest that was already committed counts as committed: the order
// is repeated after a restart of the coordinator.
struct ManifestCommitted {
  uint64_t id = 0;
};
struct ManifestFailed {
  uint64_t id = 0;
  Status status;
};
// The coordinator's own files cannot be written any more: the job ends, and everybody is told why.
// Nothing of the call that met it was sent after the write that failed; what this event sends is,
// although its SaveState may fail too.
struct StoreLost {
  Status status;
};
// Moves one lane as planned, at the next clock that is possible. Ignored when the lane is on its
// way already, or the worker is no member. Re-planning does the same by itself.
struct MoveLane {
  LaneId lane;
  WorkerId to;
};

using CoordinatorEvent = std::variant<Received, PeerLost, PeerBack, Tick, StopRequested,
                                      ManifestCommitted, ManifestFailed, StoreLost, MoveLane>;

// ---------------------------------------------------------------- effects

struct Send {
  Peer to;  // with the incarnation that is meant
  wire::Any message;
};
// Make durable before any later effect. Replaces what was saved before.
struct SaveState {
  Buffer state;
};
// All parts are durable: write the manifest, then report ManifestCommitted or ManifestFailed.
struct CommitManifest {
  uint64_t id = 0;
  Clock clock = 0;  // sync: steps closed by every unit; async, ssp: the least clock of all lanes
  std::vector<CheckpointPart> parts;  // by shard
};
// One line of metrics.jsonl. May come twice with the same number when the coordinator was restarted
// in between; the last one counts.
struct MetricRow {
  uint64_t evaluation = 0;  // the epoch it belongs to, from 1; the last one is at the job's end
  double epoch = 0;         // epochs trained, fractional at max_steps
  Clock clock = 0;          // sync: the version evaluated; async, ssp: least clock at the snapshot
  bool final = false;
  double train_loss = 0;        // mean over the samples since the last row; NaN: none
  wire::EvaluationSums test;    // added up in lane order; scores merged by ascending score
  std::vector<LaneId> missing;  // lanes whose slice never came, because its worker died
};
struct Note {
  std::string text;  // for the log
};
struct WakeAt {
  Time at;
};
// The last effect ever, but for answers to late messages. kDone, kStopped: status is ok.
struct Finish {
  wire::EndKind kind = wire::EndKind::kDone;
  Status status;
};

using CoordinatorEffect =
    std::variant<Send, SaveState, CommitManifest, MetricRow, Note, WakeAt, Finish>;
using CoordinatorEffects = std::vector<CoordinatorEffect>;

// ---------------------------------------------------------------- the decider

// Where a resumed job begins: a committed checkpoint.
struct ResumePoint {
  uint64_t id = 0;
  std::string folder;  // told to the shards as Load.checkpoint_folder
  Clock clock = 0;     // CheckpointManifest::clock
  Mode mode = Mode::kSync;
};

struct CoordinatorSetup {
  JobConfig config;
  LaneSchedule schedule;
  std::vector<ShardId> placement;  // by unit, as propose_placement gives it
  std::string job_hash;
  std::string resume_command;         // what a user types to go on, named in failures
  std::optional<ResumePoint> resume;  // a new job that begins at a checkpoint
  std::optional<Buffer> state;        // the last SaveState of an earlier life of this very job
};

class Coordinator {
 public:
  // kInvalidInput: setup contradicts itself (the checkpoint is of another mode, ...).
  // kDataLoss: `state` is not what a coordinator of this job saved.
  [[nodiscard]] static Result<std::unique_ptr<Coordinator>> create(CoordinatorSetup setup);

  // Appends to `out`.
  void handle(const CoordinatorEvent& event, Time now, CoordinatorEffects& out);

  [[nodiscard]] JobStatus status(Time now) const;
  // How many times the coordinator has been started for this job; on every message it sends.
  [[nodiscard]] uint64_t leader() const { return leader_; }

 private:
  explicit Coordinator(CoordinatorSetup setup);
  void restore(const SavedState& state);
  [[nodiscard]] SavedState save() const;

  // coordinator.cc: the switch, who is in, who has which lane.
  void begin(Time now);
  void on(const Received& event, Time now);
  void on(const PeerLost& event, Time now) { membership_.lost(event.peer, now); }
  void on(const PeerBack& event, Time now) { (void)membership_.heard(event.peer, now); }
  void on(const Tick& event, Time now);
  void on(const StopRequested& event, Time now);
  void on(const ManifestCommitted& event, Time now);
  void on(const ManifestFailed& event, Time now);
  void on(const StoreLost& event, Time now);
  void on(const MoveLane& event, Time now);

  void on(const Peer& from, const wire::Join& message, Time now);
  void on(const Peer& from, const wire::WorkerProgress& message, Time now);
  void on(const Peer& from, const wire::ShardProgress& message, Time now);
  void on(const Peer& from, const wire::FenceMarks& message, Time now);
  void on(const Peer& from, const wire::Loaded& message, Time now);
  void on(const Peer& from, const wire::Assigned& message, Time now);
  void on(const Peer& from, const wire::Handing& message, Time now);
  void on(const Peer& from, const wire::EvalPart& message, Time now);
  void on(const Peer& from, const wire::SnapshotTaken& message, Time now);
  void on(const Peer& from, const wire::PartDone& message, Time now);
  void on(const Peer& from, const wire::Paused& message, Time now);
  void on(const Peer& from, const wire::Failed& message, Time now);
  // What workers or the coordinator itself say to others makes no sense here.
  template <typename Message>
  void on(const Peer&, const Message&, Time) {}

  [[nodiscard]] bool refuses(const Peer& from, const wire::Join& message);
  void displace(const Peer& from);
  void worker_joined(WorkerId worker, Arrival arrival, Time now);
  void compare_arithmetic(WorkerId worker);
  void shard_joined(ShardId shard, Arrival arrival, Time now);
  void worker_gone(WorkerId worker, const std::string& why, Time now);
  void shard_gone(ShardId shard, const std::string& why, Time now);
  void came_back(const Peer& from, Time now);
  void last_figures(const Received& event, Time now);
  void watch(Time now);
  void watch_shard(ShardId shard, Time now);
  void advance(Time now);
  void start_if_complete(Time now);
  void give_lanes(Time now);
  void replan(Time now);
  void repeat_orders(Time now);
  void raise_view(const std::string& why);

  // coordinator_rounds.cc: evaluations, checkpoints, the stop and the end.
  void advance_evaluation(Time now);
  void advance_snapshot(Time now);
  void begin_snapshot(uint64_t evaluation, Time now);
  void release_snapshot();
  void finish_evaluation(uint64_t evaluation, Clock clock, const EvaluationParts& parts);
  void finish_open_evaluations(uint64_t up_to);
  void send_evaluation_orders();
  void advance_checkpoint(Time now);
  void order_checkpoint(uint64_t id, Clock clock, Time now);
  void send_checkpoint_orders();
  void advance_stop(Time now);
  void advance_end(Time now);
  void send_stop_orders();
  void give_up_what_stands_still(Time now);
  void fail(Status status);
  void end(wire::EndKind kind, Status status);

  // coordinator_status.cc
  [[nodiscard]] JobState state() const;
  [[nodiscard]] std::string waiting_for(Time now) const;
  [[nodiscard]] std::string waiting_for_lanes(Time now) const;
  [[nodiscard]] std::string waiting_for_processes(Time now) const;
  [[nodiscard]] std::string waiting_for_rounds() const;
  [[nodiscard]] std::string slowest_wait() const;
  [[nodiscard]] WorkerStatus worker_status(WorkerId worker, Time now) const;
  [[nodiscard]] ShardStatus shard_status(ShardId shard, Time now) const;
  [[nodiscard]] std::string resume_hint() const;

  template <typename Message>
  void send(const Peer& to, Message message) {
    message.leader = leader_;
    effects_.push_back(Send{to, std::move(message)});
  }
  void send_order(LanePlan::Order order);
  void send_load(ShardId shard);
  void send_view(const Peer& to);
  void send_fence_order(ShardId shard);
  void note(std::string text) { effects_.push_back(Note{std::move(text)}); }

  [[nodiscard]] bool sync() const { return setup_.config.train.mode == Mode::kSync; }
  [[nodiscard]] bool final_evaluation_open() const {
    return evaluation_.wanted() && evaluation_done_ < evaluation_.last();
  }

  CoordinatorSetup setup_;
  Patience patience_;
  Membership membership_;
  LanePlan plan_;
  EvaluationPlan evaluation_;
  CheckpointRounds checkpoints_;
  ProgressBoard board_;

  // Saved.
  uint64_t leader_ = 1;
  uint64_t view_ = 0;
  bool started_ = false;  // lanes may have been given away
  bool trained_ = false;  // every push of the job has been answered
  bool stop_requested_ = false;
  uint64_t evaluation_done_ = 0;
  uint64_t restarts_ = 0;
  uint64_t lane_moves_ = 0;
  uint64_t fences_raised_ = 0;
  std::optional<wire::EndKind> ending_;
  Status ending_status_;

  // Found out again after a restart.
  bool begun_ = false;
  bool fence_order_due_ = false;
  std::map<uint64_t, EvaluationParts> evaluations_;  // sync: those not complete
  std::optional<SnapshotEvaluation> snapshot_;       // async, ssp: the one under way
  uint64_t snapshot_released_ = 0;
  uint32_t release_repeats_ = 0;
  std::optional<StopRound> stop_;
  std::optional<uint64_t> last_cut_;  // the checkpoint of the stop or of the end
  // When the thing waited for last got on.
  JobState state_seen_ = JobState::kJoining;
  Time state_moved_{};
  Time snapshot_moved_{};
  Time checkpoint_moved_{};
  Time unowned_since_{};
  Time no_worker_since_{};
  Time replan_at_{};
  Clock least_seen_ = 0;

  // Of the call under way; moved out at its end.
  std::vector<MetricRow> rows_;
  CoordinatorEffects effects_;
  Buffer saved_;
};

}  // namespace ballast
