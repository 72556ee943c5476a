// Every message of the protocol as a plain struct. codec.h turns them into a FlatBuffers envelope
// and raw payload frames and back; deciders see only these. Pure values; any thread.
//
// Two families: data messages between workers and shards (Push, Pull, Reply) and control messages
// between everybody and the coordinator. Data messages carry many entries, each paired with its
// reply by (sender's incarnation, sequence) and answered on its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/net/message.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace ballast::wire {

// Versions of the protocol this build speaks; a join outside both ranges is refused.
inline constexpr uint32_t kProtocolMin = 1;
inline constexpr uint32_t kProtocolMax = 1;

// Entries of one data message; whoever has more sends several. Each brings at most one payload
// frame, and the transport carries at most so many (kPayloadsMax in transport.h).
inline constexpr size_t kEntriesMax = 4096;

// ---------------------------------------------------------------- data: worker -> shard

// Names one gradient's part: the push is (unit, lane, clock), whoever sends it.
struct LaneStamp {
  LaneId lane;
  Fence fence = 0;
  Clock clock = 0;
  double weight = 0;  // sum of the sample weights behind the gradient

  bool operator==(const LaneStamp&) const = default;
};

enum class PushKind : uint8_t { kGradient, kDelta };

struct PushEntry {
  uint64_t sequence = 0;  // pairs the reply with this request, unique within the incarnation
  UnitId unit;
  UnitEpoch epoch = 0;
  std::vector<LaneStamp> lanes;  // all of one clock; sync: the present lanes inside the node
  uint32_t node_low = 0;  // sync: the sum is that of tree node [node_low, node_high) over lanes
  uint32_t node_high = 0;
  Version base_version = 0;  // the version the gradient was computed from
  PushKind kind = PushKind::kGradient;
  Buffer gradient;  // float32 sums, element_count of the unit; empty: no key touched
};

struct PullEntry {
  uint64_t sequence = 0;
  UnitId unit;
  UnitEpoch epoch = 0;
  // Sync: the version wanted; ssp, async: the clock of the reading lane. kNever, in every mode:
  // the newest there is, never held; for readers that belong to no lane.
  Clock clock = 0;
  uint64_t snapshot = 0;  // not 0: read the copy kept for this evaluation
};

// What every data message carries besides its entries.
struct DataHeader {
  uint64_t run = 0;    // run_number(); another run's message is dropped
  Term term = 0;       // reserved for rewinds: always 0 in this version
  uint64_t trace = 0;  // reserved for tracing
};

struct Push {
  DataHeader header;
  std::vector<PushEntry> entries;
};

struct Pull {
  DataHeader header;
  std::vector<PullEntry> entries;
};

// ---------------------------------------------------------------- data: shard -> worker

enum class ReplyCode : uint8_t {
  kClosed,   // sync push: the step is closed; version = clock + 1
  kApplied,  // async, ssp push: applied
  kAlready,  // push: applied before, counts as success; sync: weights of clock + 1 if still there
  kSplit,  // async push: `missing` lanes were not applied before, the others were; send those alone
  kEarly,  // async push: a lane's previous step has not arrived and no room to park it; send again
  kWeights,  // pull: here they are
  kPassed,   // sync pull: that version is gone; the step is whole in every sync unit
  kFenced,   // `fences` name lanes taken from the sender
  kMoved,    // the unit is not here under that epoch; refresh the view and send again
  kRewound,  // reserved: (term, checkpoint) to go back to
  kBusy,     // the queue is full; send again later
};
inline constexpr int kReplyCodeCount = 11;
[[nodiscard]] std::string_view reply_code_name(ReplyCode code);

struct LaneFence {
  LaneId lane;
  Fence fence = 0;

  bool operator==(const LaneFence&) const = default;
};

struct ReplyEntry {
  uint64_t sequence = 0;
  UnitId unit;
  UnitEpoch epoch = 0;
  ReplyCode code = ReplyCode::kApplied;
  Version version = 0;            // of the weights; sync: steps closed, async: updates applied
  Clock least_clock = 0;          // ssp: every lane with rows left is at least here
  std::vector<LaneFence> fences;  // kFenced
  std::vector<LaneId> missing;    // kSplit
  Buffer weights;                 // float32; empty when the reply brings none
};

struct Reply {
  DataHeader header;
  std::vector<ReplyEntry> entries;
};

// ---------------------------------------------------------------- control: to the coordinator

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

// Heartbeat of a worker: sent on a timer by the thread that owns the transport, and at once when a
// lane ends, crosses an epoch, or stops. `beat` rises with every sign of progress of the
// computation.
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
  std::string waiting_for;  // empty: not waiting; otherwise for whom and what
  double waiting_seconds = 0;
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
struct EvaluationSums {
  uint64_t rows = 0;
  double loss_sum = 0;
  uint64_t correct = 0;          // labels predicted right, of rows x label width
  double squared_error_sum = 0;  // mean squared error only
  uint64_t values = 0;           // squared errors summed
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

// ---------------------------------------------------------------- control: from the coordinator
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

// Answers WorkerProgress and ShardProgress: the coordinator is alive and this is its life.
struct BeatAnswer {
  uint64_t leader = 0;
  Term term = 0;      // reserved for rewinds: told until acknowledged
  uint64_t view = 0;  // number of the newest view
};

using Any = std::variant<Push, Pull, Reply, Join, WorkerProgress, ShardProgress, FenceMarks, Loaded,
                         Assigned, Handing, EvalPart, SnapshotTaken, PartDone, Paused, Failed, View,
                         Welcome, Refused, Assign, Handover, FenceOrder, Load, TakeSnapshot,
                         ReleaseSnapshot, Evaluate, EvalAck, CheckpointOrder, Pause, StopAt, End,
                         BeatAnswer>;

[[nodiscard]] std::string_view message_name(const Any& message);

}  // namespace ballast::wire
