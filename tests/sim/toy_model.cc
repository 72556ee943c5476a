#include "tests/sim/toy_model.h"

#include "common/base/random.h"
#include "common/optimizer/optimizer.h"
#include "common/optimizer/schedule.h"

namespace ballast::sim {

ToyModel::ToyModel(const JobConfig& job_in, uint64_t salt_in)
    : job(job_in),
      salt(salt_in),
      schedule(job.resolved.train_rows, job.train.lanes, job.train.batch, job.train.epochs,
               job.train.max_steps),
      parameters(parameters_of(job.model, job.resolved.input_width)),
      units(cut_units(parameters, job.cluster.unit_bytes)) {}

std::vector<float> ToyModel::gradient(LaneId lane, Clock clock, uint32_t parameter,
                                      const std::vector<float>& weights) const {
  const float rows = static_cast<float>(schedule.rows_at(lane, clock));
  std::vector<float> gradient(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const float target = unit_float(hash_numbers({salt, lane.value(), clock, parameter, i}));
    gradient[i] = rows * (weights[i] - target);
  }
  return gradient;
}

std::vector<std::vector<std::vector<float>>> ToyModel::sync_reference() const {
  std::vector<std::vector<std::vector<float>>> versions;
  for (uint32_t p = 0; p < parameters.size(); ++p) {
    const size_t count = parameters[p].element_count();
    std::vector<std::vector<float>> history(1, std::vector<float>(count));
    fill_initial(parameters[p], p, job.seed, 0, history[0]);
    std::vector<std::vector<float>> state(state_count(job.train.optimizer.kind),
                                          std::vector<float>(count, 0));
    uint64_t samples = 0;
    for (Clock t = 0; t < schedule.steps(); ++t) {
      std::vector<std::vector<float>> leaves;
      std::vector<GradientNode> nodes;
      double weight_sum = 0;
      for (uint32_t lane = 0; lane < schedule.lanes(); ++lane) {
        if (!schedule.present(LaneId(lane), t)) continue;
        leaves.push_back(gradient(LaneId(lane), t, p, history.back()));
        nodes.push_back({lane, lane + 1, nullptr});
        weight_sum += schedule.rows_at(LaneId(lane), t);
      }
      for (size_t i = 0; i < nodes.size(); ++i) {
        nodes[i].data = reinterpret_cast<const std::byte*>(leaves[i].data());
      }
      std::vector<float> next(count);
      std::vector<std::span<float>> spans(state.begin(), state.end());
      apply_update(job.train.optimizer,
                   {.gradients = nodes,
                    .lanes = schedule.lanes(),
                    .weight_sum = weight_sum,
                    .updates = t + 1,
                    .learning_rate = learning_rate_at(job.train, samples, schedule.steps()),
                    .decay = parameters[p].decay,
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
