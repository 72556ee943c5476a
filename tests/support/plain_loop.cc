#include "tests/support/plain_loop.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <span>

#include "common/base/check.h"
#include "common/optimizer/optimizer.h"

namespace ballast::testing {
namespace {

using Floats = std::vector<float>;

// common/optimizer/schedule.h
double learning_rate(const TrainConfig& train, uint64_t samples_before, uint64_t job_steps) {
  const ScheduleConfig& schedule = train.schedule;
  const double rate = train.optimizer.learning_rate;
  const auto warmup = static_cast<double>(schedule.warmup_steps);
  double s = static_cast<double>(samples_before) / train.batch;
  if (s + 1 < warmup) return rate * ((s + 1) / warmup);
  s = std::max(0.0, s - warmup);
  if (schedule.kind == ScheduleKind::kStep && schedule.every_steps > 0) {
    return rate * std::pow(schedule.factor, std::floor(s / double(schedule.every_steps)));
  }
  if (schedule.kind != ScheduleKind::kCosine) return rate;
  double length = double(schedule.decay_steps);
  if (length == 0) length = std::max(1.0, double(job_steps) - warmup);
  const double cosine = std::cos(std::numbers::pi * std::min(1.0, s / length));
  return rate * (schedule.floor + (1 - schedule.floor) * (1 + cosine) / 2);
}

class PlainLoop {
 public:
  PlainLoop(const JobConfig& job, const Floats& features, const Floats& labels,
            const OrderFunction& order)
      : job_(job), features_(features), labels_(labels), order_(order), model_(job) {
    BALLAST_CHECK(job.train.lanes > 0 && job.train.batch % job.train.lanes == 0);
    lane_batch_ = job.train.batch / job.train.lanes;
    for (const PlainTensor& tensor : model_.tensors) {
      state_.emplace_back(state_count(job.train.optimizer.kind), Floats(tensor.values.size()));
    }
  }

  PlainResult run() {
    uint64_t steps_per_epoch = (lane_rows(0) + lane_batch_ - 1) / lane_batch_;
    if (job_.data.tail == Tail::kDrop) {
      steps_per_epoch = lane_rows(job_.train.lanes - 1) / lane_batch_;
    }
    job_steps_ = steps_per_epoch * job_.train.epochs;
    if (job_.train.max_steps > 0) job_steps_ = std::min(job_steps_, job_.train.max_steps);
    for (uint64_t step = 0; step < job_steps_; ++step) {
      const uint64_t first_position = step % steps_per_epoch * lane_batch_;
      const auto sum = sum_of(0, job_.train.lanes, step, step / steps_per_epoch, first_position);
      BALLAST_CHECK(sum.has_value());
      for (size_t p = 0; p < model_.tensors.size(); ++p) update(p, *sum, step);
      result_.step_losses.push_back(sum->loss_sum / sum->weight_sum);
      result_.samples_applied += sum->rows;
    }
    result_.weights = model_.tensors;
    return result_;
  }

 private:
  [[nodiscard]] uint64_t lane_rows(uint32_t lane) const {
    const uint64_t lanes = job_.train.lanes;
    return job_.resolved.train_rows / lanes + (lane < job_.resolved.train_rows % lanes ? 1 : 0);
  }

  // Of lanes [low, high): halves summed, absent lanes skipped.
  std::optional<PlainGradient> sum_of(uint32_t low, uint32_t high, uint64_t step, uint64_t epoch,
                                      uint64_t first_position) {
    if (high - low == 1) return lane_gradient(low, step, epoch, first_position);
    const uint32_t middle = (low + high) / 2;
    auto left = sum_of(low, middle, step, epoch, first_position);
    const auto right = sum_of(middle, high, step, epoch, first_position);
    if (!left) return right;
    if (!right) return left;
    for (size_t p = 0; p < left->tensors.size(); ++p) {
      Floats& sum = left->tensors[p];
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += right->tensors[p][i];
    }
    left->loss_sum += right->loss_sum;
    left->weight_sum += right->weight_sum;
    left->rows += right->rows;
    return left;
  }

  std::optional<PlainGradient> lane_gradient(uint32_t lane, uint64_t step, uint64_t epoch,
                                             uint64_t first_position) {
    const bool pads = job_.data.tail == Tail::kPad;
    if (first_position >= lane_rows(lane) && !pads) return std::nullopt;
    const uint64_t last = lane_rows(lane) - 1;
    Floats features, labels, weights;
    for (uint64_t position = first_position; position < first_position + lane_batch_; ++position) {
      if (position > last && !pads) break;
      const uint64_t row = order_(epoch, lane, std::min(position, last));
      append_row(features_, job_.resolved.input_width, row, features);
      append_row(labels_, job_.resolved.label_width, row, labels);
      weights.push_back(position > last ? 0 : 1);
    }
    PlainGradient gradient = model_.gradient(features, labels, weights, step, lane);
    gradient.rows = static_cast<uint64_t>(gradient.weight_sum);
    return gradient;
  }

  static void append_row(const Floats& from, uint32_t width, uint64_t row, Floats& to) {
    to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
  }

  void update(size_t p, const PlainGradient& sum, uint64_t step) {
    const auto* bytes = reinterpret_cast<const std::byte*>(sum.tensors[p].data());
    const GradientNode node{.lane_low = 0, .lane_high = 1, .data = bytes};
    const std::vector<std::span<float>> state(state_[p].begin(), state_[p].end());
    PlainTensor& tensor = model_.tensors[p];
    apply_update(job_.train.optimizer,
                 {.gradients = {&node, 1},
                  .lanes = 1,
                  .weight_sum = sum.weight_sum,
                  .updates = step + 1,
                  .learning_rate = learning_rate(job_.train, result_.samples_applied, job_steps_),
                  .decay = tensor.shape.size() == 2,  // weights, not biases
                  .weights_in = tensor.values,
                  .weights_out = tensor.values,
                  .state = state});
  }

  const JobConfig& job_;
  const Floats& features_;
  const Floats& labels_;
  const OrderFunction& order_;
  PlainModel model_;
  uint64_t lane_batch_ = 0;
  uint64_t job_steps_ = 0;
  std::vector<std::vector<Floats>> state_;  // by tensor, by state tensor
  PlainResult result_;
};

}  // namespace

PlainResult plain_sync_run(const JobConfig& job, const std::vector<float>& features,
                           const std::vector<float>& labels, const OrderFunction& order) {
  return PlainLoop(job, features, labels, order).run();
}

}  // namespace ballast::testing
