#include "worker/evaluate_slice.h"

#include <fmt/format.h>

#include <vector>

namespace ballast {

Result<SliceResult> evaluate_slice(TrainStep& step, EvalLoader& loader, LossKind loss, LaneId lane,
                                   const std::function<Status()>& batch_done) {
  const bool ranks = loss == LossKind::kSigmoidCrossEntropy;
  SliceResult slice;
  RunCollector runs;
  for (uint64_t index = 0; index < loader.batches(lane); ++index) {
    const Batch batch = loader.take(lane, index);
    std::vector<float> outputs(ranks ? size_t{batch.rows} * step.output_width() : 0);
    Result<StepResult> result = step.evaluate(batch.features, batch.labels, batch.rows, outputs);
    if (!result.ok()) {
      return result.status().because(
          fmt::format("while evaluating lane {} from {}", lane.value(), batch.row_name(0)));
    }
    slice.sums.rows += batch.rows;
    slice.sums.loss_sum += result->loss_sum;
    slice.sums.correct += result->correct;
    slice.sums.label_count += result->label_count;
    if (loss == LossKind::kMeanSquaredError) {
      slice.sums.squared_error_sum += result->loss_sum * batch.label_width;  // the loss is a mean
      slice.sums.value_count += uint64_t{batch.rows} * batch.label_width;
    }
    if (ranks) runs.add(make_run(outputs, batch.labels));
    if (batch_done) BALLAST_RETURN_IF_ERROR(batch_done());
  }
  slice.run = runs.take();
  return slice;
}

}  // namespace ballast
