#include "common/metrics/evaluation.h"

#include <cmath>

namespace ballast {

void MetricSums::add(const MetricSums& later) {
  rows += later.rows;
  weight_sum += later.weight_sum;
  loss_sum += later.loss_sum;
  correct += later.correct;
  squared_error_sum += later.squared_error_sum;
  label_width = later.label_width;
}

std::vector<std::pair<std::string, double>> metrics_of(LossKind loss, const MetricSums& sums,
                                                       std::span<const ScoredLabel> run) {
  std::vector<std::pair<std::string, double>> metrics;
  if (!(sums.weight_sum > 0)) return metrics;
  const double mean_loss = sums.loss_sum / sums.weight_sum;
  const double label_weight = sums.weight_sum * sums.label_width;
  metrics.emplace_back("loss", mean_loss);
  if (loss == LossKind::kMeanSquaredError) {
    metrics.emplace_back("rmse", std::sqrt(sums.squared_error_sum / label_weight));
    return metrics;
  }
  metrics.emplace_back("accuracy", sums.correct / label_weight);
  metrics.emplace_back("log_loss", mean_loss);
  if (loss == LossKind::kSigmoidCrossEntropy) {
    if (const auto area = area_under_curve(run)) metrics.emplace_back("auc", *area);
  }
  return metrics;
}

}  // namespace ballast
