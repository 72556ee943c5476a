// ToyModel: the learning problem of the simulator. Small tensors, and a gradient that is a pure
// function of weights, lane, clock and element, cheap enough for thousands of steps a second, yet
// one that makes every step depend on all before it. In async and ssp with plain SGD it is another:
// the weights are then the sum of numbers that each name their (lane, clock), so that they tell
// which gradients were applied and how often, whatever the order. Pure.
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
  // point that differs by lane, clock and element. With fingerprints: what one update by a push of
  // `push_weight` takes from the weights as a whole number.
  [[nodiscard]] std::vector<float> gradient(LaneId lane, Clock clock, uint32_t parameter,
                                            const std::vector<float>& weights,
                                            double push_weight) const;

  // Whether weights are sums of fingerprints; then learning_rate is 1 and nothing scales a push.
  [[nodiscard]] bool has_fingerprints() const;
  // What an element must be when each lane has been applied up to its mark, each step once.
  [[nodiscard]] double expected(uint32_t parameter, uint64_t element,
                                const std::vector<Clock>& marks) const;

  // Stands for the rows of a step, as batch_hash() does.
  [[nodiscard]] uint64_t rows_hash(LaneId lane, Clock clock) const;

  // Versions 0 .. steps of every parameter in an undisturbed single-process run that shares only
  // initial values, the fold and the optimizers with the product.
  [[nodiscard]] std::vector<std::vector<std::vector<float>>> sync_reference() const;

  JobConfig job;
  uint64_t salt = 0;
  LaneSchedule schedule;
  std::vector<ParameterSpec> parameters;
  std::vector<UnitSpec> units;
  // [lane][clock][parameter][element]: the sum over the lane's steps below clock.
  std::vector<std::vector<std::vector<std::vector<double>>>> applied_before;
  std::vector<std::vector<float>> initial;  // [parameter][element]

 private:
  [[nodiscard]] int32_t fingerprint_of(LaneId lane, Clock clock, uint32_t parameter,
                                       uint64_t element) const;
  void sum_fingerprints();
};

}  // namespace ballast::sim
