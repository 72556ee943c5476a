// Coordinator: the one leader of a job. It knows who is in, which worker trains which lane, and
// when to evaluate, to checkpoint and to end; it is not on the data path, and training goes on
// while it is away. Rules: DESIGN.md sections 4 and 6.
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
#include "common/placement/units.h"
#include "common/wire/messages.h"
#include "server/coordinator/job_status.h"

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
// Moves one lane as planned, at the next clock that is possible. Ignored when the lane is on its
// way already, or the worker is no member. Re-planning does the same by itself.
struct MoveLane {
  LaneId lane;
  WorkerId to;
};

using CoordinatorEvent = std::variant<Received, PeerLost, Tick, StopRequested, ManifestCommitted,
                                      ManifestFailed, MoveLane>;

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
  uint32_t unit_count = 0;
  std::vector<ShardId> placement;  // by unit: propose_placement(units, config.shard_count())
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
  virtual ~Coordinator() = default;

  // Appends to `out`.
  virtual void handle(const CoordinatorEvent& event, Time now, CoordinatorEffects& out) = 0;

  [[nodiscard]] virtual JobStatus status(Time now) const = 0;
  // How many times the coordinator has been started for this job; on every message it sends.
  [[nodiscard]] virtual uint64_t leader() const = 0;
};

}  // namespace ballast
