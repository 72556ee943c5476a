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

// All but `rows` count a row as often as it weighs.
struct MetricSums {
  uint64_t rows = 0;
  double weight_sum = 0;         // of the rows
  double loss_sum = 0;           // over rows
  double correct = 0;            // labels predicted right
  double squared_error_sum = 0;  // mean squared error only, over all outputs
  uint32_t label_width = 1;      // labels of a row

  void add(const MetricSums& later);
};

// (name, value) in a fixed order, as in summary.json without the "test_": always "loss" (weighted
// mean over rows); "accuracy" and "log_loss" for the cross-entropies, "auc" for sigmoid
// cross-entropy when both labels occur, "rmse" for mean squared error. Empty when no row weighs
// anything. `run` is sorted; sigmoid only, otherwise empty. AUC leaves rows of weight 0 out and
// counts all others alike: it is exact because it counts pairs.
[[nodiscard]] std::vector<std::pair<std::string, double>> metrics_of(
    LossKind loss, const MetricSums& sums, std::span<const ScoredLabel> run);

}  // namespace ballast
