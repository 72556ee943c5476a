#include "server/coordinator/progress_board.h"

#include <cmath>
#include <limits>

namespace ballast {
namespace {

void add(wire::TimeShares& sum, const wire::TimeShares& other) {
  sum.load += other.load;
  sum.compute += other.compute;
  sum.push += other.push;
  sum.wait += other.wait;
  sum.pull += other.pull;
}

void add(std::vector<uint64_t>& sum, const std::vector<uint64_t>& other) {
  if (sum.size() < other.size()) sum.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) sum[i] += other[i];
}

void add(JobTotals& totals, const wire::WorkerProgress& progress) {
  totals.samples += progress.samples;
  totals.bytes_pushed += progress.bytes_pushed;
  totals.bytes_pulled += progress.bytes_pulled;
  add(totals.shares, progress.shares);
  wire::add(totals.loader, progress.loader);
  totals.rows_fed += progress.fed.rows_fed;
  totals.rows_local += progress.fed.rows_local;
}

void add_portions(std::vector<uint64_t>& sum, const wire::WorkerProgress& progress) {
  std::vector<uint64_t> portions;
  for (const wire::FeederShare& feeder : progress.fed.feeders) portions.push_back(feeder.portions);
  add(sum, portions);
}

double mean_or_nan(double sum, double weight) {
  return weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

ProgressBoard::ProgressBoard(uint32_t workers_max, uint32_t shard_count)
    : workers_(workers_max), shards_(shard_count) {}

void ProgressBoard::report(const wire::WorkerProgress& progress, Time now) {
  Worker& worker = workers_[progress.worker.value()];
  if (worker.last && worker.last->incarnation != progress.incarnation) {
    earlier_.samples += worker.last->samples;
    earlier_.loss += worker.last->loss_sum;
    earlier_.weight += worker.last->weight_sum;
    add_portions(earlier_.portions, *worker.last);
    add(earlier_totals_, *worker.last);
    worker = Worker();
  }
  if (worker.last && progress.beat < worker.last->beat) return;  // overtaken on the way
  worker.last = progress;
  if (worker.done.empty() || progress.busy_seconds > worker.done.back().first) {
    worker.done.emplace_back(progress.busy_seconds, progress.samples);
  }
  // Keeps one point at or before the window's edge.
  while (worker.done.size() > 2 &&
         (worker.done.size() > kPointsMax ||
          progress.busy_seconds - worker.done[1].first >= kSpeedWindowSeconds)) {
    worker.done.pop_front();
  }
  remember(now);
}

void ProgressBoard::report(const wire::ShardProgress& progress) {
  std::optional<wire::ShardProgress>& shard = shards_[progress.shard.value()];
  if (shard && shard->incarnation != progress.incarnation) {
    add(earlier_totals_.staleness, shard->staleness);
  }
  shard = progress;
}

const wire::WorkerProgress* ProgressBoard::worker(WorkerId worker) const {
  const auto& last = workers_[worker.value()].last;
  return last ? &*last : nullptr;
}

const wire::ShardProgress* ProgressBoard::shard(ShardId shard) const {
  const auto& last = shards_[shard.value()];
  return last ? &*last : nullptr;
}

double ProgressBoard::speed(WorkerId worker) const {
  const auto& done = workers_[worker.value()].done;
  if (done.size() < 2) return 0;
  const double seconds = done.back().first - done.front().first;
  return static_cast<double>(done.back().second - done.front().second) / seconds;
}

ProgressBoard::Sums ProgressBoard::sums() const {
  Sums sum = earlier_;
  for (const Worker& worker : workers_) {
    if (!worker.last) continue;
    sum.samples += worker.last->samples;
    sum.loss += worker.last->loss_sum;
    sum.weight += worker.last->weight_sum;
    add_portions(sum.portions, *worker.last);
  }
  return sum;
}

void ProgressBoard::remember(Time now) {
  if (!history_.empty() && now - history_.back().first < kRateWindow / kPointsMax) return;
  history_.emplace_back(now, sums());
  while (history_.size() > 2 && now - history_[1].first >= kRateWindow) history_.pop_front();
}

ProgressBoard::Sums ProgressBoard::over_window(Time now, double& seconds) const {
  Sums sum = sums();
  seconds = 0;
  if (history_.empty()) return Sums();
  const auto& [since, then] = history_.front();
  seconds = to_seconds(now - since);
  Sums since_then{sum.samples - then.samples, sum.loss - then.loss, sum.weight - then.weight,
                  std::move(sum.portions)};
  for (size_t i = 0; i < then.portions.size(); ++i) since_then.portions[i] -= then.portions[i];
  return since_then;
}

double ProgressBoard::samples_per_second(Time now) const {
  double seconds = 0;
  const Sums sum = over_window(now, seconds);
  return seconds > 0 ? static_cast<double>(sum.samples) / seconds : 0;
}

std::vector<FeederStatus> ProgressBoard::feeders(Time now) const {
  double seconds = 0;
  const Sums lately = over_window(now, seconds);
  const Sums ever = sums();
  std::vector<FeederStatus> feeders(ever.portions.size());
  for (size_t i = 0; i < feeders.size(); ++i) {
    feeders[i].portions = ever.portions[i];
    if (seconds > 0 && i < lately.portions.size()) {
      feeders[i].portions_per_second = static_cast<double>(lately.portions[i]) / seconds;
    }
  }
  for (const Worker& worker : workers_) {
    if (!worker.last) continue;
    for (size_t i = 0; i < worker.last->fed.feeders.size(); ++i) {
      feeders[i].workers_up += worker.last->fed.feeders[i].up ? 1 : 0;
    }
  }
  return feeders;
}

double ProgressBoard::recent_loss(Time now) const {
  double seconds = 0;
  const Sums sum = over_window(now, seconds);
  return mean_or_nan(sum.loss, sum.weight);
}

double ProgressBoard::take_loss() {
  const Sums now = sums();
  const double loss = mean_or_nan(now.loss - taken_.loss, now.weight - taken_.weight);
  if (!std::isnan(loss)) taken_loss_ = loss;
  taken_ = now;
  return taken_loss_;
}

void ProgressBoard::add_to(JobTotals& totals) const {
  totals.samples += earlier_totals_.samples;
  totals.bytes_pushed += earlier_totals_.bytes_pushed;
  totals.bytes_pulled += earlier_totals_.bytes_pulled;
  add(totals.shares, earlier_totals_.shares);
  wire::add(totals.loader, earlier_totals_.loader);
  totals.rows_fed += earlier_totals_.rows_fed;
  totals.rows_local += earlier_totals_.rows_local;
  add(totals.staleness, earlier_totals_.staleness);
  for (const Worker& worker : workers_) {
    if (worker.last) add(totals, *worker.last);
  }
  for (const auto& shard : shards_) {
    if (shard) add(totals.staleness, shard->staleness);
  }
}

}  // namespace ballast
