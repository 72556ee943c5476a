// Strong ids: a lane cannot be passed where a unit is meant. Pure values; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace ballast {

template <typename Tag>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr uint32_t value() const { return value_; }
  constexpr auto operator<=>(const Id&) const = default;

 private:
  uint32_t value_ = 0;
};

using UnitId = Id<struct UnitTag>;      // index into the job's placement table
using ShardId = Id<struct ShardTag>;    // 0 .. servers * shards_per_server - 1
using ServerId = Id<struct ServerTag>;  // a server process
using WorkerId = Id<struct WorkerTag>;  // a worker process
using LaneId = Id<struct LaneTag>;      // 0 .. lanes - 1

// The steps a lane has done; the step it does next. Global over epochs.
using Clock = uint64_t;
// The steps a unit has closed (sync) or the updates it has applied (async, ssp).
using Version = uint64_t;
// A process's life: rises whenever the process is started again. 0: not known.
using Incarnation = uint64_t;
// Raised when a lane is taken from a worker.
using Fence = uint32_t;
// Raised when a unit changes owner or goes back.
using UnitEpoch = uint32_t;
// Raised when history is rewound.
using Term = uint32_t;

// The clock of a lane without rows left.
inline constexpr Clock kNever = std::numeric_limits<Clock>::max();

}  // namespace ballast
