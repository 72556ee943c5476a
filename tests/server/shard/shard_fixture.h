// What tests of units and shards share: a small job of four lanes and two units, and short ways to
// say "lane 2 pushes step 3".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/placement/lane_schedule.h"
#include "server/shard/shard.h"

namespace ballast::testing {

inline const Time kNow{1s};

// Dense 2 -> 1 with plain SGD: unit 0 is layer0.weight (2 elements), unit 1 layer0.bias (1).
// Four lanes of 2 rows a step, two epochs of two steps; with 10 rows lanes 2 and 3 are absent from
// each epoch's second step.
[[nodiscard]] JobConfig small_job(Mode mode, uint64_t rows = 16);

[[nodiscard]] Buffer floats(std::vector<float> values);
[[nodiscard]] std::vector<float> values_of(const Buffer& buffer);

// A push of these lanes at one clock, weight 2 a lane; sync: for the smallest tree node around
// them.
[[nodiscard]] wire::PushEntry push_of(std::vector<uint32_t> lanes, Clock clock, Buffer gradient,
                                      uint64_t sequence = 1, Fence fence = 1);
// What a push names the rows of a lane's step by: 1000 * (clock + 1) + lane.
[[nodiscard]] uint64_t rows_hash(uint32_t lane, Clock clock);
[[nodiscard]] wire::PullEntry pull_of(Clock clock, uint64_t sequence = 1);
[[nodiscard]] Peer worker(uint32_t index);

// A unit alone, with what it borrows.
struct UnitBench {
  explicit UnitBench(const JobConfig& job_in, UnitPolicy policy = {}, uint32_t parked_max = 4);

  // The answers to this request and to those it frees.
  std::vector<UnitAnswer> push(uint32_t from, wire::PushEntry entry);
  std::vector<UnitAnswer> pull(uint32_t from, wire::PullEntry entry);
  // The codes of answers, in order: "closed closed weights".
  static std::string codes(const std::vector<UnitAnswer>& answers);

  JobConfig job;
  LaneSchedule schedule;
  std::vector<ParameterSpec> parameters;
  std::vector<UnitSpec> units;
  UpdateRule rule;
  std::unique_ptr<Unit> unit;
  bool changed = false;  // what the last push returned
};

}  // namespace ballast::testing
