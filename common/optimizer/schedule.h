// Learning-rate schedules: pure functions of how much was trained, not of who trained it, so more
// workers do not run a schedule faster. Any thread.
//
// rate = optimizer.learning_rate * factor, all in double, with the factor of
// s = samples_applied / batch, before the update in question: 0 for the first.
// warm-up   (s + 1) / warmup_steps while s + 1 < warmup_steps       Goyal et al., 2017
// then, with s counted from the end of the warm-up, max(0, s - warmup_steps):
// constant  1
// step      factor ^ floor(s / every_steps); 1 if every_steps = 0
// cosine    floor + (1 - floor) * (1 + cos(pi * min(1, s / decay_steps))) / 2
//                                                        Loshchilov and Hutter, ICLR 2017
#pragma once

#include <cstdint>

#include "common/config/job_config.h"

namespace ballast {

// Multiplies OptimizerConfig::learning_rate. `job_steps`, the steps of all epochs, less the
// warm-up but at least 1, stands in for decay_steps = 0.
[[nodiscard]] double schedule_factor(const ScheduleConfig& schedule, double steps,
                                     uint64_t job_steps);

// The rate of the update that comes after `samples_applied` samples. `batches_per_step`, over an
// epoch (LaneSchedule), makes steps of them.
[[nodiscard]] double learning_rate_at(const TrainConfig& train, uint64_t samples_applied,
                                      double batches_per_step, uint64_t job_steps);

}  // namespace ballast
