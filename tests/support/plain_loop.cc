#include "tests/support/plain_loop.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>

#include "common/base/check.h"
#include "common/compute/backend.h"
#include "common/optimizer/optimizer.h"
#include "common/optimizer/schedule.h"
#include "worker/train_step.h"

namespace ballast::testing {
namespace {

using Floats = std::vector<float>;

class PlainLoop {
 public:
  PlainLoop(const JobConfig& job, const Floats& features, const Floats& labels,
            const OrderFunction& order)
      : job_(job), features_(features), labels_(labels), order_(order) {
    BALLAST_CHECK(job.train.lanes > 0 && job.train.batch % job.train.lanes == 0);
    lane_batch_ = job.train.batch / job.train.lanes;
    backend_ =
        std::move(make_backend(Device::kCpu, {.threads = job.cluster.threads_per_worker})).value();
    step_ = std::move(TrainStep::create(job.model, job.resolved.input_width,
                                        job.resolved.label_width, lane_batch_, *backend_))
                .value();
    for (uint32_t p = 0; p < step_->parameters().size(); ++p) {
      const ParameterSpec& parameter = step_->parameters()[p];
      fill_initial(parameter, p, job.seed, 0, step_->weights(p));
      state_.emplace_back(state_count(job.train.optimizer.kind),
                          Floats(parameter.element_count(), 0.0f));
    }
  }

  PlainResult run() {
    const uint64_t longest = lane_rows(0);
    const uint64_t steps_per_epoch = (longest + lane_batch_ - 1) / lane_batch_;
    job_steps_ = steps_per_epoch * job_.train.epochs;
    if (job_.train.max_steps > 0) job_steps_ = std::min(job_steps_, job_.train.max_steps);
    for (uint64_t t = 0; t < job_steps_; ++t) {
      train_step(t, t / steps_per_epoch, t % steps_per_epoch * lane_batch_);
    }
    for (uint32_t p = 0; p < step_->parameters().size(); ++p) {
      const std::span<float> weights = step_->weights(p);
      result_.weights.emplace_back(weights.begin(), weights.end());
    }
    return result_;
  }

 private:
  [[nodiscard]] uint64_t lane_rows(uint32_t lane) const {
    const uint64_t lanes = job_.train.lanes;
    return job_.resolved.train_rows / lanes + (lane < job_.resolved.train_rows % lanes ? 1 : 0);
  }

  void train_step(uint64_t t, uint64_t epoch, uint64_t first_position) {
    loss_sum_ = 0;
    weight_sum_ = 0;
    const std::optional<std::vector<Floats>> sums =
        sum_of(0, job_.train.lanes, t, epoch, first_position);
    BALLAST_CHECK(sums.has_value());
    for (uint32_t p = 0; p < step_->parameters().size(); ++p) update(p, (*sums)[p], t);
    result_.step_losses.push_back(loss_sum_ / weight_sum_);
    result_.samples_applied += static_cast<uint64_t>(weight_sum_);
  }

  // By parameter, the gradients of lanes [low, high): halves summed, absent lanes skipped.
  std::optional<std::vector<Floats>> sum_of(uint32_t low, uint32_t high, uint64_t t, uint64_t epoch,
                                            uint64_t first_position) {
    if (high - low == 1) return lane_gradient(low, t, epoch, first_position);
    const uint32_t middle = (low + high) / 2;
    auto left = sum_of(low, middle, t, epoch, first_position);
    const auto right = sum_of(middle, high, t, epoch, first_position);
    if (!left) return right;
    if (!right) return left;
    for (size_t p = 0; p < left->size(); ++p) {
      for (size_t i = 0; i < (*left)[p].size(); ++i) (*left)[p][i] += (*right)[p][i];
    }
    return left;
  }

  std::optional<std::vector<Floats>> lane_gradient(uint32_t lane, uint64_t t, uint64_t epoch,
                                                   uint64_t first_position) {
    if (first_position >= lane_rows(lane)) return std::nullopt;
    const auto rows =
        static_cast<uint32_t>(std::min<uint64_t>(lane_batch_, lane_rows(lane) - first_position));
    Floats features, labels;
    for (uint32_t r = 0; r < rows; ++r) {
      const uint64_t row = order_(epoch, lane, first_position + r);
      append_row(features_, job_.resolved.input_width, row, features);
      append_row(labels_, job_.resolved.label_width, row, labels);
    }
    GradientSet set;
    for (const ParameterSpec& parameter : step_->parameters()) {
      set.parameters.push_back(Buffer::allocate(parameter.element_count() * sizeof(float)));
    }
    const StepContext context{.seed = job_.seed, .clock = t, .lane = LaneId(lane)};
    const auto computed = step_->run(features, labels, rows, context, set);
    BALLAST_CHECK_MSG(computed.ok(), computed.status().to_string());
    loss_sum_ += computed->loss_sum;
    weight_sum_ += computed->weight_sum;
    std::vector<Floats> gradient;
    for (Buffer& buffer : set.parameters) {
      gradient.emplace_back(buffer.floats().begin(), buffer.floats().end());
    }
    return gradient;
  }

  static void append_row(const Floats& from, uint32_t width, uint64_t row, Floats& to) {
    to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
  }

  void update(uint32_t p, const Floats& gradient, uint64_t t) {
    const GradientNode node{0, 1, reinterpret_cast<const std::byte*>(gradient.data())};
    std::vector<std::span<float>> state(state_[p].begin(), state_[p].end());
    const std::span<float> weights = step_->weights(p);
    apply_update(job_.train.optimizer, {.gradients = {&node, 1},
                                        .lanes = 1,
                                        .weight_sum = weight_sum_,
                                        .updates = t + 1,
                                        .learning_rate = learning_rate_at(
                                            job_.train, result_.samples_applied, job_steps_),
                                        .decay = step_->parameters()[p].decay,
                                        .weights_in = weights,
                                        .weights_out = weights,
                                        .state = state});
  }

  const JobConfig& job_;
  const Floats& features_;
  const Floats& labels_;
  const OrderFunction& order_;
  uint32_t lane_batch_ = 0;
  uint64_t job_steps_ = 0;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<TrainStep> step_;
  std::vector<std::vector<Floats>> state_;  // by parameter, by state tensor
  double loss_sum_ = 0;                     // of the step under way
  double weight_sum_ = 0;
  PlainResult result_;
};

}  // namespace

PlainResult plain_sync_run(const JobConfig& job, const std::vector<float>& features,
                           const std::vector<float>& labels, const OrderFunction& order) {
  return PlainLoop(job, features, labels, order).run();
}

}  // namespace ballast::testing
