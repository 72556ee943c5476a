// StopRound: a stop on request. Every lane says where it stands; in sync all go on to the furthest
// of them, so that the checkpoint is one exact cut; in async and ssp each stays where it is. Pure.
#pragma once

#include <optional>
#include <vector>

#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "common/wire/control_messages.h"
#include "server/coordinator/lane_plan.h"

namespace ballast {

class StopRound {
 public:
  StopRound(Mode mode, const LaneSchedule& schedule);

  // A report of a lane, from Paused (`paused` true) or from a heartbeat. Only current ones count.
  void report(const LanePlan& plan, WorkerId from, const wire::LaneProgress& progress, bool paused);

  // Lanes not yet known to stand still under their present assignment.
  [[nodiscard]] std::vector<LaneId> moving(const LanePlan& plan) const;
  // Once all stand still: the clock to go on to, fixed from then on. Async, ssp: 0.
  [[nodiscard]] std::optional<Clock> settle(const LanePlan& plan);
  [[nodiscard]] std::optional<Clock> stop_clock() const { return stop_clock_; }
  // Sync: lanes still below the clock. One that has begun the step after it does no harm: no unit
  // can close that step while other lanes stand still, and only closed steps are cut.
  [[nodiscard]] std::vector<LaneId> below(const LanePlan& plan) const;

 private:
  struct Stand {
    Fence fence = 0;
    uint64_t number = 0;
    Clock clock = 0;
    bool busy = false;
    bool paused = false;
  };
  [[nodiscard]] const Stand* stand(const LanePlan& plan, LaneId lane) const;

  Mode mode_;
  Clock steps_;
  std::vector<Stand> stands_;  // by lane
  std::optional<Clock> stop_clock_;
};

}  // namespace ballast
