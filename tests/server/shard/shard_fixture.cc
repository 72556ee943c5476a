#include "tests/server/shard/shard_fixture.h"

#include <cstring>

namespace ballast::testing {

JobConfig small_job(Mode mode, uint64_t rows) {
  JobConfig job;
  job.train.scale_by_share = false;  // pushes of some lanes move by their whole mean
  job.train.mode = mode;
  job.train.lanes = 4;
  job.train.batch = 8;
  job.train.epochs = 2;
  job.train.staleness = 1;
  job.train.optimizer.kind = OptimizerKind::kSgd;
  job.train.optimizer.learning_rate = 1;
  job.model.layers.push_back({.kind = LayerKind::kDense, .units = 1});
  job.resolved.train_rows = rows;
  job.resolved.input_width = 2;
  return job;
}

Buffer floats(std::vector<float> values) {
  return Buffer::copy_of(std::as_bytes(std::span(values)));
}

std::vector<float> values_of(const Buffer& buffer) {
  std::vector<float> values(buffer.size() / sizeof(float));
  std::memcpy(values.data(), buffer.data(), buffer.size());
  return values;
}

wire::PushEntry push_of(std::vector<uint32_t> lanes, Clock clock, Buffer gradient,
                        uint64_t sequence, Fence fence) {
  wire::PushEntry entry;
  entry.sequence = sequence;
  for (uint32_t lane : lanes) {
    entry.lanes.push_back({LaneId(lane), fence, clock, 2.0, rows_hash(lane, clock)});
  }
  entry.node_low = lanes.front();
  entry.node_high = lanes.back() + 1;
  entry.gradient = std::move(gradient);
  return entry;
}

uint64_t rows_hash(uint32_t lane, Clock clock) {
  return 1000 * (clock + 1) + lane;
}

wire::PullEntry pull_of(Clock clock, uint64_t sequence) {
  return {.sequence = sequence, .unit = UnitId(0), .epoch = 0, .clock = clock, .snapshot = 0};
}

Peer worker(uint32_t index) {
  return {Role::kWorker, index, 1};
}

UnitBench::UnitBench(const JobConfig& job_in, UnitPolicy policy, uint32_t parked_max)
    : job(job_in),
      schedule(schedule_of(job)),
      parameters(parameters_of(job.model, job.resolved.input_width)),
      units(cut_units(parameters, job.cluster.unit_bytes)),
      rule{job.train, job.train.lanes, schedule.steps()} {
  UnitWeights weights(units[0], parameters[0], job.seed, rule);
  const auto staleness =
      job.train.mode == Mode::kSsp ? std::optional<uint32_t>(job.train.staleness) : std::nullopt;
  unit = job.train.mode == Mode::kSync
             ? make_sync_unit(std::move(weights), schedule, policy)
             : make_async_unit(std::move(weights), schedule, staleness,
                               {job.train.scale_by_share, job.train.scale_by_staleness}, parked_max,
                               policy);
}

std::vector<UnitAnswer> UnitBench::push(uint32_t from, wire::PushEntry entry) {
  std::vector<UnitAnswer> answers;
  changed = unit->push(worker(from), std::move(entry), kNow, answers);
  return answers;
}

std::vector<UnitAnswer> UnitBench::pull(uint32_t from, wire::PullEntry entry) {
  std::vector<UnitAnswer> answers;
  unit->pull(worker(from), entry, kNow, answers);
  return answers;
}

std::string UnitBench::codes(const std::vector<UnitAnswer>& answers) {
  std::string codes;
  for (const UnitAnswer& answer : answers) {
    if (!codes.empty()) codes += ' ';
    codes += wire::reply_code_name(answer.entry.code);
  }
  return codes;
}

}  // namespace ballast::testing
