// The data messages, between workers and shards: Push, Pull, Reply. Each carries many entries, each
// paired with its reply by (sender's incarnation, sequence) and answered on its own. Pure values;
// any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"

namespace ballast::wire {

// Entries of one data message; whoever has more sends several. Each brings at most one payload
// frame, and the transport carries at most so many (kPayloadsMax in transport.h).
inline constexpr size_t kEntriesMax = 4096;

// ---------------------------------------------------------------- worker -> shard

// Names one gradient's part: the push is (unit, lane, clock), whoever sends it.
struct LaneStamp {
  LaneId lane;
  Fence fence = 0;
  Clock clock = 0;
  double weight = 0;  // sum of the sample weights behind the gradient
  // Names the rows behind it: the sum of batch_hash() (worker/data/order_ledger.h) of its batches.
  uint64_t rows_hash = 0;

  bool operator==(const LaneStamp&) const = default;
};

// Delta: what the weights changed by in local steps, times the weight of their samples.
enum class PushKind : uint8_t { kGradient, kDelta };

struct PushEntry {
  uint64_t sequence = 0;  // pairs the reply with this request, unique within the incarnation
  UnitId unit;
  UnitEpoch epoch = 0;
  std::vector<LaneStamp> lanes;  // all of one clock; sync: the present lanes inside the node
  uint32_t node_low = 0;  // sync: the sum is that of tree node [node_low, node_high) over lanes
  uint32_t node_high = 0;
  Version base_version = 0;             // the version the gradient was computed from
  PushKind kind = PushKind::kGradient;  // train.push of the job; a shard takes no other
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

// ---------------------------------------------------------------- shard -> worker

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

}  // namespace ballast::wire
