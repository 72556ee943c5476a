// JobStatus: a picture of the job for people (status.json) and its totals (summary.json). The
// coordinator makes one whenever it is asked; the main writes the files. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/wire/control_messages.h"

namespace ballast {

// What the job is doing now. Written as job_state_name().
enum class JobState {
  kJoining,          // processes are still missing
  kLoading,          // shards load their units
  kRunning,          // lanes are trained, also while some of them wait for an owner
  kPausing,          // a stop was asked for; every worker stands still first
  kStopping,         // lanes go on to one common clock
  kStopCheckpoint,   // the checkpoint of a stop
  kFinalEvaluation,  // every push is answered
  kFinalCheckpoint,
  kEnded,
};
[[nodiscard]] std::string_view job_state_name(JobState state);  // "final-checkpoint"

struct LaneStatus {
  LaneId lane;
  Clock clock = 0;  // the least it can be; kNever: last push answered
};

struct WorkerStatus {
  WorkerId worker;
  bool alive = false;  // a member; false: dead or suspected
  Incarnation incarnation = 0;
  std::string host;
  uint32_t process = 0;
  double silent_seconds = 0;
  double stuck_seconds = 0;  // alive without progress for so long
  std::vector<LaneStatus> lanes;
  uint64_t steps = 0;  // of this life, as are the next ones
  uint64_t samples = 0;
  double samples_per_second = 0;  // computing speed: samples / busy seconds, lately
  uint64_t lag_steps = 0;         // of its slowest lane behind the furthest lane of the job
  wire::TimeShares shares;        // shares of its time, 0 .. 1, sum 1 or all 0
  wire::LoaderProgress loader;
  std::string waiting_for;
  double waiting_seconds = 0;
};

struct ShardStatus {
  ShardId shard;
  bool loaded = false;
  Incarnation incarnation = 0;
  std::string host;
  uint32_t process = 0;
  double silent_seconds = 0;
  Version version_min = 0;
  Version version_max = 0;
  uint64_t memory_bytes = 0;
  std::string waiting_for;
  double waiting_seconds = 0;
};

struct FeederStatus {
  uint32_t workers_up = 0;  // workers that see it
  uint64_t portions = 0;
  double portions_per_second = 0;  // over the last seconds
};

// Sums over all lives of all processes, as far as they have been reported.
struct JobTotals {
  uint64_t steps = 0;  // of the job: the least clock of all lanes
  uint64_t epochs = 0;
  uint64_t samples = 0;
  uint64_t bytes_pushed = 0;
  uint64_t bytes_pulled = 0;
  std::vector<uint64_t> staleness;  // async, ssp: updates by staleness
  uint64_t lost_pushes = 0;         // 0 until units can go back
  uint64_t restarts = 0;            // of workers, shards and the coordinator
  uint64_t lane_moves = 0;          // planned ones that were begun
  uint64_t fences_raised = 0;       // lanes taken from a worker
  wire::TimeShares shares;          // seconds of all workers
  wire::LoaderProgress loader;
  uint64_t rows_fed = 0;    // read from feeders, in jobs that have some
  uint64_t rows_local = 0;  // the others of those jobs
};

struct JobStatus {
  JobState state = JobState::kJoining;
  uint64_t epoch = 0;  // the one being trained, from 1
  uint64_t epochs = 0;
  uint64_t step = 0;  // the least clock of all lanes
  uint64_t steps = 0;
  double samples_per_second = 0;  // of the job, over the last seconds
  double loss = 0;                // mean over the last seconds; NaN: nothing reported
  double staleness_mean = 0;
  uint64_t checkpoint = 0;  // the last committed one; 0: none
  uint64_t view = 0;
  std::vector<WorkerStatus> workers;
  std::vector<ShardStatus> shards;
  std::vector<FeederStatus> feeders;
  std::string waiting_for;  // who, since when and why; empty: nothing holds the job up
  JobTotals totals;
};

}  // namespace ballast
