// What slices of a test set add up to, and the numbers people read: accuracy, log loss, AUC, RMSE.
// Plain values; sums are the same bits when slices are added in the same order. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/config/job_config.h"
#include "common/metrics/area_under_curve.h"

namespace ballast {

struct MetricSums {
  uint64_t rows = 0;
  double loss_sum = 0;           // over rows
  uint64_t correct = 0;          // labels predicted right
  uint64_t label_count = 0;      // labels that could be right
  double squared_error_sum = 0;  // mean squared error only, over `value_count` outputs
  uint64_t value_count = 0;

  void add(const MetricSums& later);
};

// (name, value) in a fixed order, as in summary.json without the "test_": always "loss" (mean over
// rows); "accuracy" and "log_loss" for the cross-entropies, "auc" for sigmoid cross-entropy when
// both labels occur, "rmse" for mean squared error. Empty without rows. `run` is sorted; sigmoid
// only, otherwise empty.
[[nodiscard]] std::vector<std::pair<std::string, double>> metrics_of(
    LossKind loss, const MetricSums& sums, std::span<const ScoredLabel> run);

}  // namespace ballast
