#include "common/optimizer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ballast {
namespace {

double cosine_factor(const ScheduleConfig& schedule, double steps, uint64_t job_steps) {
  const uint64_t rest = job_steps > schedule.warmup_steps ? job_steps - schedule.warmup_steps : 1;
  const auto length = static_cast<double>(schedule.decay_steps > 0 ? schedule.decay_steps : rest);
  const double share = std::min(1.0, steps / length);
  const double wave = (1 + std::cos(std::numbers::pi * share)) / 2;
  return schedule.floor + (1 - schedule.floor) * wave;
}

}  // namespace

double schedule_factor(const ScheduleConfig& schedule, double steps, uint64_t job_steps) {
  const auto warmup = static_cast<double>(schedule.warmup_steps);
  if (steps + 1 < warmup) return (steps + 1) / warmup;
  const double after = std::max(0.0, steps - warmup);
  switch (schedule.kind) {
    case ScheduleKind::kConstant:
      return 1;
    case ScheduleKind::kStep:
      if (schedule.every_steps == 0) return 1;
      return std::pow(schedule.factor,
                      std::floor(after / static_cast<double>(schedule.every_steps)));
    case ScheduleKind::kCosine:
      return cosine_factor(schedule, after, job_steps);
  }
  return 1;
}

double learning_rate_at(const TrainConfig& train, uint64_t samples_applied, double batches_per_step,
                        uint64_t job_steps) {
  const double steps = static_cast<double>(samples_applied) / train.batch / batches_per_step;
  return train.optimizer.learning_rate * schedule_factor(train.schedule, steps, job_steps);
}

}  // namespace ballast
