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
double learning_rate(const TrainConfig& train, double s, uint64_t job_steps) {
  const ScheduleConfig& schedule = train.schedule;
  const double rate = train.optimizer.learning_rate;
  const auto warmup = static_cast<double>(schedule.warmup_steps);
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
    batches_per_epoch_ = (lane_rows(0) + lane_batch_ - 1) / lane_batch_;
    if (job_.data.tail == Tail::kDrop) {
      batches_per_epoch_ = lane_rows(job_.train.lanes - 1) / lane_batch_;
    }
    const uint64_t k = job_.train.local_steps;
    steps_per_epoch_ = (batches_per_epoch_ + k - 1) / k;
    job_steps_ = steps_per_epoch_ * job_.train.epochs;
    uint64_t steps = job_steps_;
    if (job_.train.max_steps > 0) steps = std::min(steps, job_.train.max_steps);
    for (uint64_t step = 0; step < steps; ++step) {
      const uint64_t first_batch = step % steps_per_epoch_ * k;
      const auto sum = sum_of(0, job_.train.lanes, step / steps_per_epoch_, first_batch);
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
  std::optional<PlainGradient> sum_of(uint32_t low, uint32_t high, uint64_t epoch,
                                      uint64_t first_batch) {
    if (high - low == 1) {
      return job_.train.push == PushKind::kDelta ? lane_delta(low, epoch, first_batch)
                                                 : lane_gradient(low, epoch, first_batch);
    }
    const uint32_t middle = (low + high) / 2;
    auto left = sum_of(low, middle, epoch, first_batch);
    const auto right = sum_of(middle, high, epoch, first_batch);
    if (!left) return right;
    if (right) add(*left, *right);
    return left;
  }

  static void add(PlainGradient& sum, const PlainGradient& other) {
    for (size_t p = 0; p < sum.tensors.size(); ++p) {
      for (size_t i = 0; i < sum.tensors[p].size(); ++i) sum.tensors[p][i] += other.tensors[p][i];
    }
    sum.loss_sum += other.loss_sum;
    sum.weight_sum += other.weight_sum;
    sum.rows += other.rows;
  }

  // The batches of a step, those that the epoch still has.
  [[nodiscard]] uint64_t last_batch(uint64_t first_batch) const {
    return std::min<uint64_t>(first_batch + job_.train.local_steps, batches_per_epoch_);
  }

  // One after the other: ((first + second) + ...).
  std::optional<PlainGradient> lane_gradient(uint32_t lane, uint64_t epoch, uint64_t first_batch) {
    std::optional<PlainGradient> sum;
    for (uint64_t batch = first_batch; batch < last_batch(first_batch); ++batch) {
      const auto gradient = batch_gradient(lane, epoch, batch);
      if (!gradient) break;
      if (sum) {
        add(*sum, *gradient);
      } else {
        sum = gradient;
      }
    }
    return sum;
  }

  // What the weights change by, times the weight of the samples, when every batch of the step is
  // followed by an update whose state begins at zero.
  std::optional<PlainGradient> lane_delta(uint32_t lane, uint64_t epoch, uint64_t first_batch) {
    const std::vector<PlainTensor> before = model_.tensors;
    std::vector<std::vector<Floats>> state = state_;
    for (auto& tensors : state) {
      for (Floats& tensor : tensors) std::ranges::fill(tensor, 0.0f);
    }
    const uint64_t step = result_.step_losses.size();
    const double rate = learning_rate(job_.train, static_cast<double>(step), job_steps_);
    std::optional<PlainGradient> sum;
    for (uint64_t batch = first_batch; batch < last_batch(first_batch); ++batch) {
      const auto gradient = batch_gradient(lane, epoch, batch);
      if (!gradient) break;
      for (size_t p = 0; p < model_.tensors.size() && gradient->weight_sum > 0; ++p) {
        update(p, job_.train.optimizer, *gradient, batch - first_batch + 1, rate, state[p]);
      }
      if (!sum) sum = PlainGradient{.tensors = gradient->tensors};
      sum->loss_sum += gradient->loss_sum;
      sum->weight_sum += gradient->weight_sum;
      sum->rows += gradient->rows;
    }
    for (size_t p = 0; sum && p < before.size(); ++p) {
      for (size_t i = 0; i < before[p].values.size(); ++i) {
        const float change = model_.tensors[p].values[i] - before[p].values[i];
        sum->tensors[p][i] = change * static_cast<float>(sum->weight_sum);
      }
    }
    model_.tensors = before;
    return sum;
  }

  std::optional<PlainGradient> batch_gradient(uint32_t lane, uint64_t epoch, uint64_t batch) {
    const bool pads = job_.data.tail == Tail::kPad;
    const uint64_t first_position = batch * lane_batch_;
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
    PlainGradient gradient =
        model_.gradient(features, labels, weights, epoch * batches_per_epoch_ + batch, lane);
    gradient.rows = static_cast<uint64_t>(gradient.weight_sum);
    return gradient;
  }

  static void append_row(const Floats& from, uint32_t width, uint64_t row, Floats& to) {
    to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
  }

  // On the servers: a delta is added to the weights as it is.
  void update(size_t p, const PlainGradient& sum, uint64_t step) {
    if (job_.train.push == PushKind::kDelta) {
      const OptimizerConfig adds{.kind = OptimizerKind::kSgd, .learning_rate = -1};
      std::vector<Floats> none;
      return update(p, adds, sum, step + 1, -1, none);
    }
    update(p, job_.train.optimizer, sum, step + 1,
           learning_rate(job_.train, steps_before(), job_steps_), state_[p]);
  }

  [[nodiscard]] double steps_before() const {
    const double batches = static_cast<double>(result_.samples_applied) / job_.train.batch;
    return batches / (static_cast<double>(batches_per_epoch_) / double(steps_per_epoch_));
  }

  void update(size_t p, const OptimizerConfig& optimizer, const PlainGradient& sum,
              uint64_t updates, double rate, std::vector<Floats>& state) {
    const auto* bytes = reinterpret_cast<const std::byte*>(sum.tensors[p].data());
    const GradientNode node{.lane_low = 0, .lane_high = 1, .data = bytes};
    const std::vector<std::span<float>> spans(state.begin(), state.end());
    PlainTensor& tensor = model_.tensors[p];
    apply_update(optimizer, {.gradients = {&node, 1},
                             .lanes = 1,
                             .update = {.weight_sum = sum.weight_sum,
                                        .updates = updates,
                                        .learning_rate = rate,
                                        .decay = tensor.shape.size() == 2},  // weights, not biases
                             .weights_in = tensor.values,
                             .weights_out = tensor.values,
                             .state = spans});
  }

  const JobConfig& job_;
  const Floats& features_;
  const Floats& labels_;
  const OrderFunction& order_;
  PlainModel model_;
  uint64_t lane_batch_ = 0;
  uint64_t batches_per_epoch_ = 0;
  uint64_t steps_per_epoch_ = 0;
  uint64_t job_steps_ = 0;                  // of all epochs
  std::vector<std::vector<Floats>> state_;  // by tensor, by state tensor
  PlainResult result_;
};

}  // namespace

PlainResult plain_sync_run(const JobConfig& job, const std::vector<float>& features,
                           const std::vector<float>& labels, const OrderFunction& order) {
  return PlainLoop(job, features, labels, order).run();
}

}  // namespace ballast::testing
