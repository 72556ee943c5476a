// ProgressBoard: what the heartbeats say, added up over all lives of all processes: totals, loss,
// speeds lately. For people and for re-planning; nothing here decides correctness. Pure.
#pragma once

#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "common/base/time.h"
#include "server/coordinator/job_status.h"

namespace ballast {

class ProgressBoard {
 public:
  ProgressBoard(uint32_t workers_max, uint32_t shard_count);

  void report(const wire::WorkerProgress& progress, Time now);
  void report(const wire::ShardProgress& progress);

  // The last report of the worker's present life.
  [[nodiscard]] const wire::WorkerProgress* worker(WorkerId worker) const;
  [[nodiscard]] const wire::ShardProgress* shard(ShardId shard) const;

  // While computing, over the last kSpeedWindowSeconds; 0: not known yet.
  [[nodiscard]] double speed(WorkerId worker) const;
  // Of the job over the last kRateWindow.
  [[nodiscard]] double samples_per_second(Time now) const;
  // Mean over the last kRateWindow; NaN: nothing.
  [[nodiscard]] double recent_loss(Time now) const;
  // Mean over what has been reported since the last call; if that is nothing (an evaluation may end
  // after the training it follows), what the last call said. NaN: nothing yet.
  double take_loss();

  // What workers say of the job's feeders.
  [[nodiscard]] std::vector<FeederStatus> feeders(Time now) const;

  // samples, bytes, staleness, shares, loader, rows fed.
  void add_to(JobTotals& totals) const;

  static constexpr Duration kRateWindow = 5s;
  static constexpr double kSpeedWindowSeconds = 2;  // of computing

 private:
  struct Sums {
    uint64_t samples = 0;
    double loss = 0;
    double weight = 0;
    std::vector<uint64_t> portions;  // by feeder
  };
  struct Worker {
    std::optional<wire::WorkerProgress> last;
    std::deque<std::pair<double, uint64_t>> done;  // (busy seconds, samples), oldest first
  };
  [[nodiscard]] Sums sums() const;
  [[nodiscard]] Sums over_window(Time now, double& seconds) const;
  void remember(Time now);

  static constexpr size_t kPointsMax = 64;

  std::vector<Worker> workers_;
  std::vector<std::optional<wire::ShardProgress>> shards_;
  Sums earlier_;                                                  // of lives that are over
  JobTotals earlier_totals_;                                      // of lives that are over
  Sums taken_;                                                    // at the last take_loss
  double taken_loss_ = std::numeric_limits<double>::quiet_NaN();  // what it said
  std::deque<std::pair<Time, Sums>> history_;  // oldest first, about kRateWindow / kPointsMax apart
};

}  // namespace ballast
