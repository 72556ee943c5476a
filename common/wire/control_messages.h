// The control messages, between everybody and the coordinator: reports to it, orders and answers
// from it. Pure values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/net/message.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace ballast::wire {

// Versions of the protocol this build speaks; a join outside both ranges is refused.
inline constexpr uint32_t kProtocolMin = 3;
inline constexpr uint32_t kProtocolMax = 3;

// ---------------------------------------------------------------- to the coordinator

// The first message of every process. Repeated until Welcome or Refused; Refused may also come
// later, when a newer life of the same role and index has joined. A tool is no member: it gets the
// newest View with its Welcome once the job has started, and joins again for a newer one.
struct Join {
  Role role = Role::kWorker;
  uint32_t index = 0;  // worker or shard number
  Incarnation incarnation = 0;
  uint32_t protocol_min = kProtocolMin;
  uint32_t protocol_max = kProtocolMax;
  std::string job_hash;
  std::string run;       // ResolvedConfig::run: which start of the job
  std::string endpoint;  // shards: where workers connect
  std::string host;
  uint32_t process = 0;           // operating system's process number
  bool journal_survived = false;  // shards: all units of an earlier life are there
  std::string arithmetic{};       // workers: Backend::arithmetic()
};

struct LaneProgress {
  LaneId lane;
  Fence fence = 0;
  uint64_t number = 0;  // of the assignment
  Clock clock = 0;      // the next step of the lane; kNever: last push answered
  bool busy = false;    // a step of the lane is in flight
};

// Where a worker's time went since it started, in seconds.
struct TimeShares {
  double load = 0;
  double compute = 0;
  double push = 0;
  double wait = 0;
  double pull = 0;
};

// How the loader of a worker has done since it started: whether steps find their rows ready, and
// how well rows are mixed, told by the different blocks that one lane's batch comes from.
struct LoaderProgress {
  uint64_t ready = 0;         // batches that were there when they were asked for
  uint64_t waited = 0;        // the others
  uint64_t blocks = 0;        // different blocks of each batch counted, added up
  uint64_t batches = 0;       // counted: whole ones of one lane; of rows in memory a sample
  uint64_t blocks_min = 0;    // the fewest blocks of a batch; 0: none counted
  uint64_t blocks_read = 0;   // of streamed rows: from a disk or a network
  uint64_t blocks_found = 0;  // in memory, kept since they were used last
};
// Adds the progress of another worker or life.
void add(LoaderProgress& sum, const LoaderProgress& other);
// Different blocks of a batch; 0: none counted.
[[nodiscard]] double blocks_mean(const LoaderProgress& progress);

// Heartbeat of a worker: sent on a timer by the thread that owns the transport, and at once when a
// lane ends, crosses an epoch, or stops. `beat` rises with every sign of progress of the
// computation.
// What one feeder gave to one worker.
struct FeederShare {
  uint64_t portions = 0;
  uint64_t rows = 0;
  bool up = false;  // as the worker sees it

  bool operator==(const FeederShare&) const = default;
};

// Where a worker's training rows came from, those read ahead of need included.
struct FedShare {
  uint64_t rows_fed = 0;
  uint64_t rows_local = 0;
  std::vector<FeederShare> feeders;  // by index; none in a job without

  bool operator==(const FedShare&) const = default;
};

struct WorkerProgress {
  WorkerId worker;
  Incarnation incarnation = 0;
  uint64_t beat = 0;
  std::vector<LaneProgress> lanes;
  uint64_t steps = 0;
  uint64_t samples = 0;
  double loss_sum = 0;  // over all samples so far
  double weight_sum = 0;
  double busy_seconds = 0;  // computing; samples / busy_seconds is the worker's speed
  uint64_t bytes_pushed = 0;
  uint64_t bytes_pulled = 0;
  TimeShares shares;
  LoaderProgress loader;
  std::string waiting_for;  // empty: not waiting; otherwise for whom and what
  double waiting_seconds = 0;
  FedShare fed;
};

struct ShardProgress {
  ShardId shard;
  Incarnation incarnation = 0;
  uint64_t beat = 0;
  Version version_min = 0;  // over its units
  Version version_max = 0;
  uint64_t updates = 0;
  uint64_t memory_bytes = 0;        // weights, state, waiting nodes and copies now
  std::vector<uint64_t> staleness;  // async, ssp: updates by (version at apply - base version)
  std::string waiting_for;          // the oldest held request: unit, clock, lanes missing
  double waiting_seconds = 0;
};

struct UnitMarks {
  UnitId unit;
  UnitEpoch epoch = 0;
  Version version = 0;
  std::vector<Clock> marks;  // the next clock of each lane at this unit; sync: all = version
};

// Answer to FenceOrder: this shard refuses pushes below `fences`, and these are its units' marks.
struct FenceMarks {
  ShardId shard;
  Incarnation incarnation = 0;
  Term term = 0;
  std::vector<Fence> fences;  // by lane
  std::vector<UnitMarks> units;
};

struct Loaded {
  ShardId shard;
  Incarnation incarnation = 0;
  Term term = 0;
};

struct Assigned {
  WorkerId worker;
  LaneId lane;
  uint64_t number = 0;
};

// The old owner of a lane that is moved as planned: where it really stops, and whether every push
// below that clock has been answered.
struct Handing {
  WorkerId worker;
  LaneId lane;
  Fence fence = 0;
  uint64_t number = 0;
  Clock clock = 0;
  bool done = false;
};

// What one slice of the test set adds to the metrics; slices are added in lane order.
// All but `rows` count a row as often as it weighs.
struct EvaluationSums {
  uint64_t rows = 0;
  double weight_sum = 0;  // of the rows
  double loss_sum = 0;
  double correct = 0;            // labels predicted right, of weight_sum x label width
  double squared_error_sum = 0;  // mean squared error only
  Buffer scores;  // sigmoid only: float32 pairs (score, label) by ascending score, for AUC
};

// One lane's slice of the test set, evaluated at `evaluation` (sync: epoch number; async, ssp: the
// snapshot's number). Repeated until acknowledged.
struct EvalPart {
  WorkerId worker;
  uint64_t evaluation = 0;
  LaneId lane;
  EvaluationSums sums;
};

struct SnapshotTaken {
  ShardId shard;
  uint64_t snapshot = 0;
};

// A shard's part of a checkpoint is durable.
struct PartDone {
  ShardId shard;
  CheckpointPart part;
  uint64_t checkpoint = 0;
};

// Every lane of the worker stands still; `lanes` say where.
struct Paused {
  WorkerId worker;
  std::vector<LaneProgress> lanes;
};

struct Failed {
  Role role = Role::kWorker;
  uint32_t index = 0;
  Code code = Code::kInternal;
  std::vector<std::string> chain;
};

// ---------------------------------------------------------------- from the coordinator
// Each carries `leader`, a durable number that rises with every life of the coordinator; lower ones
// are refused.

struct ShardAddress {
  ShardId shard;
  std::string endpoint;
  Incarnation incarnation = 0;
};

struct UnitPlace {
  UnitId unit;
  ShardId shard;
  UnitEpoch epoch = 0;
};

// Who is where. A higher number replaces a lower one.
struct View {
  uint64_t leader = 0;
  uint64_t number = 0;
  std::vector<ShardAddress> shards;
  std::vector<UnitPlace> units;
};

struct Welcome {
  uint64_t leader = 0;
  Term term = 0;
};

struct Refused {
  uint64_t leader = 0;
  std::string reason;  // what was expected and found, what to do
};

struct LaneAssignment {
  LaneId lane;
  Fence fence = 0;
  uint64_t number = 0;  // assignments of a lane are numbered; lower ones are ignored
  Clock start = 0;
};

// Lanes given to one worker at once come in one message, so that its first step has them all.
struct Assign {
  uint64_t leader = 0;
  std::vector<LaneAssignment> lanes;
  Term term = 0;
};

struct Handover {
  uint64_t leader = 0;
  LaneId lane;
  Fence fence = 0;
  uint64_t number = 0;
  Clock clock = 0;  // stop here, or later if already beyond
  Term term = 0;
};

struct FenceOrder {
  uint64_t leader = 0;
  std::vector<Fence> fences;  // by lane; the shard keeps the higher
};

enum class LoadSource : uint8_t { kInitial, kCheckpoint, kJournal };

// A shard serves nothing before this order has been carried out.
struct Load {
  uint64_t leader = 0;
  Incarnation incarnation = 0;  // of the shard the order is meant for
  Term term = 0;
  LoadSource source = LoadSource::kInitial;
  uint64_t checkpoint = 0;  // kCheckpoint: its id, in checkpoint_folder
  std::string checkpoint_folder;
  std::vector<UnitPlace> units;
  std::vector<Fence> fences;
};

struct TakeSnapshot {
  uint64_t leader = 0;
  uint64_t snapshot = 0;
};

struct ReleaseSnapshot {
  uint64_t leader = 0;
  uint64_t snapshot = 0;
};

// async, ssp: evaluate these slices on the snapshot.
struct Evaluate {
  uint64_t leader = 0;
  uint64_t snapshot = 0;
  std::vector<LaneId> lanes;
};

struct EvalAck {
  uint64_t leader = 0;
  uint64_t evaluation = 0;
  LaneId lane;
};

// Copy every unit as it is now into checkpoint `checkpoint`. Sync: only when all lanes stand still.
struct CheckpointOrder {
  uint64_t leader = 0;
  uint64_t checkpoint = 0;
};

// Start no further step; answer Paused. Repeated until answered.
struct Pause {
  uint64_t leader = 0;
};

// Lanes below `clock` go on up to it and stand still there.
struct StopAt {
  uint64_t leader = 0;
  Clock clock = 0;
};

enum class EndKind : uint8_t { kDone, kStopped, kFailed };

// The process ends itself with the matching exit code.
struct End {
  uint64_t leader = 0;
  EndKind kind = EndKind::kDone;
  std::string reason = {};  // kFailed: what ended the job
};
// What a worker or a server ends with. A failure elsewhere counts as a stop: who failed says why.
[[nodiscard]] Status end_status(EndKind kind, const std::string& reason);

// Answers WorkerProgress and ShardProgress: the coordinator is alive and this is its life.
struct BeatAnswer {
  uint64_t leader = 0;
  Term term = 0;      // reserved for rewinds: told until acknowledged
  uint64_t view = 0;  // number of the newest view
};

}  // namespace ballast::wire
