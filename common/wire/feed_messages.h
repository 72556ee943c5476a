// The feed messages, between workers and feeders: a worker asks for a run of prepared rows, the
// feeder answers with their arrays. An answer is a pure function of its run, so whoever makes it
// and however often, the bytes are the same. Pure values; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/buffer.h"
#include "common/base/ids.h"

namespace ballast::wire {

// What both must agree on for the bytes to be equal; compared before anything else.
struct FeedStamp {
  uint64_t job = 0;      // job_hash
  uint64_t dataset = 0;  // hash of data.train's manifest

  bool operator==(const FeedStamp&) const = default;
};

// Samples first, first + 1 ... of the lane's epoch.
struct RowRun {
  uint64_t epoch = 0;
  LaneId lane;
  uint64_t first = 0;
  uint32_t rows = 0;

  auto operator<=>(const RowRun&) const = default;
};

// ---------------------------------------------------------------- worker -> feeder

struct FeedAsk {
  FeedStamp stamp;
  RowRun run;
};

// ---------------------------------------------------------------- feeder -> worker

enum class FeedCode : uint8_t {
  kRows,
  kBusy,     // its queue is full; ask again later, or somebody else
  kRefused,  // another job or data set, or a run there is not: this feeder is of no use
  kFailed,   // its data cannot be read; others may be able to
};

struct FeedAnswer {
  FeedStamp stamp;  // the feeder's
  RowRun run;       // that was asked for
  FeedCode code = FeedCode::kRows;
  std::string reason;  // kRefused, kFailed
  Buffer ids;          // u64[rows]
  Buffer features;     // f32[rows, width], or u8 or f16 as they are stored
  Buffer labels;       // f32[rows, label_width]
  Buffer weights;      // f32[rows]
  uint64_t xxh3 = 0;   // of the four, one after another
};

}  // namespace ballast::wire
