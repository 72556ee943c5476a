// ToyModel: the learning problem of the simulator. Small tensors, and a gradient that is a pure
// function of weights, lane, clock and element, cheap enough for thousands of steps a second, yet
// one that makes every step depend on all before it. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"

namespace ballast::sim {

struct ToyModel {
  ToyModel(const JobConfig& job_in, uint64_t salt_in);

  // The sum over the lane's rows at `clock` of the gradient of one parameter: a pull towards a
  // point that differs by lane, clock and element.
  [[nodiscard]] std::vector<float> gradient(LaneId lane, Clock clock, uint32_t parameter,
                                            const std::vector<float>& weights) const;

  // Versions 0 .. steps of every parameter in an undisturbed single-process run that shares only
  // initial values, the fold and the optimizers with the product.
  [[nodiscard]] std::vector<std::vector<std::vector<float>>> sync_reference() const;

  JobConfig job;
  uint64_t salt = 0;
  LaneSchedule schedule;
  std::vector<ParameterSpec> parameters;
  std::vector<UnitSpec> units;
};

}  // namespace ballast::sim
