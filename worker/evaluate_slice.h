// A lane's slice of a data set under a model: what training's evaluations and `ballast evaluate`
// both add up, so that they give the same bits. Owner thread: the step's.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/metrics/area_under_curve.h"
#include "common/metrics/evaluation.h"
#include "worker/data/eval_loader.h"
#include "worker/train_step.h"

namespace ballast {

// A test batch: large enough for the matrix product, small beside the training memory. Sums are the
// same bits only for the same number.
inline constexpr uint32_t kEvaluationRows = 512;

struct SliceResult {
  MetricSums sums;
  ScoreRun run;  // sigmoid cross-entropy only
};

// Errors: those of TrainStep::evaluate, with lane and row. `batch_done` is called after each batch;
// may be empty; a status that is not ok ends the slice and is returned.
[[nodiscard]] Result<SliceResult> evaluate_slice(TrainStep& step, EvalLoader& loader, LossKind loss,
                                                 LaneId lane,
                                                 const std::function<Status()>& batch_done = {});

}  // namespace ballast
