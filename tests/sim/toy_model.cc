#include "tests/sim/toy_model.h"

#include <algorithm>

#include "common/base/random.h"
#include "common/optimizer/optimizer.h"
#include "common/optimizer/schedule.h"

namespace ballast::sim {

ToyModel::ToyModel(const JobConfig& job_in, uint64_t salt_in)
    : job(job_in),
      salt(salt_in),
      schedule(schedule_of(job)),
      parameters(parameters_of(job.model, job.resolved.input_width)),
      units(cut_units(parameters, job.cluster.unit_bytes)) {
  for (uint32_t p = 0; p < parameters.size(); ++p) {
    initial.emplace_back(parameters[p].element_count());
    fill_initial(parameters[p], p, job.seed, 0, initial[p]);
  }
  if (has_fingerprints()) sum_fingerprints();
}

bool ToyModel::has_fingerprints() const {
  return job.train.mode != Mode::kSync && job.train.optimizer.kind == OptimizerKind::kSgd;
}

// Large beside the rounding of a few hundred updates, and any two differ.
int32_t ToyModel::fingerprint_of(LaneId lane, Clock clock, uint32_t parameter,
                                 uint64_t element) const {
  constexpr uint64_t kNumbers = 1 << 14;
  const uint64_t drawn = hash_numbers({salt, lane.value(), clock, parameter, element}) % kNumbers;
  return static_cast<int32_t>(drawn) - static_cast<int32_t>(kNumbers / 2);
}

void ToyModel::sum_fingerprints() {
  applied_before.resize(schedule.lanes());
  for (uint32_t lane = 0; lane < schedule.lanes(); ++lane) {
    std::vector<std::vector<double>> sums;
    for (const ParameterSpec& parameter : parameters) sums.emplace_back(parameter.element_count());
    for (Clock t = 0; t < schedule.steps(); ++t) {
      applied_before[lane].push_back(sums);
      if (!schedule.present(LaneId(lane), t)) continue;
      for (uint32_t p = 0; p < sums.size(); ++p) {
        for (size_t i = 0; i < sums[p].size(); ++i) {
          sums[p][i] += fingerprint_of(LaneId(lane), t, p, i);
        }
      }
    }
    applied_before[lane].push_back(std::move(sums));
  }
}

double ToyModel::expected(uint32_t parameter, uint64_t element,
                          const std::vector<Clock>& marks) const {
  double value = initial[parameter][element];
  for (size_t lane = 0; lane < marks.size(); ++lane) {
    const Clock mark = std::min<Clock>(marks[lane], schedule.steps());
    value -= applied_before[lane][mark][parameter][element];
  }
  return value;
}

uint64_t ToyModel::rows_hash(LaneId lane, Clock clock) const {
  return hash_numbers({salt, lane.value(), clock});
}

std::vector<float> ToyModel::gradient(LaneId lane, Clock clock, uint32_t parameter,
                                      const std::vector<float>& weights, double push_weight) const {
  const float rows = static_cast<float>(schedule.rows_at(lane, clock));
  std::vector<float> gradient(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    if (has_fingerprints()) {  // the unit divides by the weight of the push
      gradient[i] = static_cast<float>(fingerprint_of(lane, clock, parameter, i) * push_weight);
      continue;
    }
    const float target = unit_float(hash_numbers({salt, lane.value(), clock, parameter, i}));
    gradient[i] = rows * (weights[i] - target);
  }
  return gradient;
}

std::vector<std::vector<std::vector<float>>> ToyModel::sync_reference() const {
  std::vector<std::vector<std::vector<float>>> versions;
  for (uint32_t p = 0; p < parameters.size(); ++p) {
    const size_t count = parameters[p].element_count();
    std::vector<std::vector<float>> history(1, initial[p]);
    std::vector<std::vector<float>> state(state_count(job.train.optimizer.kind),
                                          std::vector<float>(count, 0));
    uint64_t samples = 0;
    for (Clock t = 0; t < schedule.steps(); ++t) {
      std::vector<std::vector<float>> leaves;
      std::vector<GradientNode> nodes;
      double weight_sum = 0;
      for (uint32_t lane = 0; lane < schedule.lanes(); ++lane) {
        if (!schedule.present(LaneId(lane), t)) continue;
        leaves.push_back(gradient(LaneId(lane), t, p, history.back(), 0));
        nodes.push_back({lane, lane + 1, nullptr});
        weight_sum += schedule.samples_of(LaneId(lane), t);
      }
      for (size_t i = 0; i < nodes.size(); ++i) {
        nodes[i].data = reinterpret_cast<const std::byte*>(leaves[i].data());
      }
      std::vector<float> next(count);
      std::vector<std::span<float>> spans(state.begin(), state.end());
      apply_update(
          job.train.optimizer,
          {.gradients = nodes,
           .lanes = schedule.lanes(),
           .update = {.weight_sum = weight_sum,
                      .updates = t + 1,
                      .learning_rate = learning_rate_at(
                          job.train, samples, schedule.batches_per_step(), schedule.steps()),
                      .decay = parameters[p].decay},
           .weights_in = history.back(),
           .weights_out = next,
           .state = spans});
      samples += static_cast<uint64_t>(weight_sum);
      history.push_back(std::move(next));
    }
    versions.push_back(std::move(history));
  }
  return versions;
}

}  // namespace ballast::sim
