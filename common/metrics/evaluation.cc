#include "common/metrics/evaluation.h"

#include <cmath>

namespace ballast {

void MetricSums::add(const MetricSums& later) {
  rows += later.rows;
  loss_sum += later.loss_sum;
  correct += later.correct;
  label_count += later.label_count;
  squared_error_sum += later.squared_error_sum;
  value_count += later.value_count;
}

std::vector<std::pair<std::string, double>> metrics_of(LossKind loss, const MetricSums& sums,
                                                       std::span<const ScoredLabel> run) {
  std::vector<std::pair<std::string, double>> metrics;
  if (sums.rows == 0) return metrics;
  const double mean_loss = sums.loss_sum / static_cast<double>(sums.rows);
  metrics.emplace_back("loss", mean_loss);
  if (loss == LossKind::kMeanSquaredError) {
    metrics.emplace_back("rmse",
                         std::sqrt(sums.squared_error_sum / static_cast<double>(sums.value_count)));
    return metrics;
  }
  metrics.emplace_back("accuracy",
                       static_cast<double>(sums.correct) / static_cast<double>(sums.label_count));
  metrics.emplace_back("log_loss", mean_loss);
  if (loss == LossKind::kSigmoidCrossEntropy) {
    if (const auto area = area_under_curve(run)) metrics.emplace_back("auc", *area);
  }
  return metrics;
}

}  // namespace ballast
