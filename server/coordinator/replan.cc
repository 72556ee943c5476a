#include "server/coordinator/replan.h"

#include <algorithm>

namespace ballast {
namespace {

double samples_left(const WorkerLoad& worker, const std::vector<LaneLoad>& lanes) {
  double left = 0;
  for (LaneId lane : worker.lanes) left += lanes[lane.value()].samples_left;
  return left;
}

// 0: nobody has been measured.
double mean_speed(const std::vector<WorkerLoad>& workers) {
  double sum = 0;
  int measured = 0;
  for (const WorkerLoad& worker : workers) {
    if (worker.samples_per_second <= 0) continue;
    sum += worker.samples_per_second;
    ++measured;
  }
  return measured == 0 ? 0 : sum / measured;
}

}  // namespace

std::optional<ProposedMove> propose_move(const std::vector<WorkerLoad>& workers,
                                         const std::vector<LaneLoad>& lanes) {
  const double mean = mean_speed(workers);
  if (mean <= 0) return std::nullopt;
  const auto finish = [&](const WorkerLoad& worker, double change) {
    const double speed = worker.samples_per_second > 0 ? worker.samples_per_second : mean;
    return (samples_left(worker, lanes) + change) / speed;
  };
  const auto last = std::max_element(
      workers.begin(), workers.end(),
      [&](const WorkerLoad& a, const WorkerLoad& b) { return finish(a, 0) < finish(b, 0); });
  const double before = finish(*last, 0);

  std::optional<ProposedMove> best;
  double best_after = before * (1 - kReplanGain);
  for (LaneId lane : last->lanes) {
    const LaneLoad& load = lanes[lane.value()];
    if (!load.movable || load.samples_left <= 0) continue;
    for (const WorkerLoad& other : workers) {
      if (other.worker == last->worker) continue;
      const double after =
          std::max(finish(*last, -load.samples_left), finish(other, load.samples_left));
      if (after >= best_after) continue;
      best_after = after;
      best = ProposedMove{lane, other.worker};
    }
  }
  return best;
}

}  // namespace ballast
