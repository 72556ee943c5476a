#include "worker/evaluate_slice.h"

#include <fmt/format.h>

#include <vector>

namespace ballast {

namespace {

ScoreRun ranked(std::vector<float>& outputs, const Batch& batch) {
  std::vector<float> scores, labels;  // of the rows that weigh something
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (batch.weights[i / batch.label_width] == 0) continue;
    scores.push_back(outputs[i]);
    labels.push_back(batch.labels[i]);
  }
  return make_run(scores, labels);
}

}  // namespace

Result<SliceResult> evaluate_slice(TrainStep& step, EvalLoader& loader, LossKind loss, LaneId lane,
                                   const std::function<Status()>& batch_done) {
  const bool ranks = loss == LossKind::kSigmoidCrossEntropy;
  SliceResult slice;
  RunCollector runs;
  for (uint64_t index = 0; index < loader.batches(lane); ++index) {
    const Batch batch = loader.take(lane, index);
    std::vector<float> outputs(ranks ? size_t{batch.rows} * step.output_width() : 0);
    Result<StepResult> result =
        step.evaluate({batch.features, batch.labels, batch.weights, batch.rows}, outputs);
    if (!result.ok()) {
      return result.status().because(
          fmt::format("while evaluating lane {} from {}", lane.value(), batch.row_name(0)));
    }
    MetricSums sums{.rows = batch.rows,
                    .weight_sum = result->weight_sum,
                    .loss_sum = result->loss_sum,
                    .correct = result->correct,
                    .label_width = batch.label_width};
    if (loss == LossKind::kMeanSquaredError) {
      sums.squared_error_sum = result->loss_sum * batch.label_width;  // the loss is a mean
    }
    slice.sums.add(sums);
    if (ranks) runs.add(ranked(outputs, batch));
    if (batch_done) BALLAST_RETURN_IF_ERROR(batch_done());
  }
  slice.run = runs.take();
  return slice;
}

}  // namespace ballast
