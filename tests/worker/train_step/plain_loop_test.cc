#include "tests/support/plain_loop.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/base/random.h"
#include "common/optimizer/schedule.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"

namespace ballast {
namespace {

using testing::plain_sync_run;
using testing::PlainResult;

struct Data {
  std::vector<float> features;
  std::vector<float> labels;
};

// Two classes on either side of a plane.
Data separable(uint32_t rows, uint32_t width) {
  Random random(4);
  Data data;
  for (uint32_t r = 0; r < rows; ++r) {
    double side = 0;
    for (uint32_t i = 0; i < width; ++i) {
      const double value = random.normal();
      side += i % 2 == 0 ? value : -value;
      data.features.push_back(static_cast<float>(value));
    }
    data.labels.push_back(side > 0 ? 1 : 0);
  }
  return data;
}

JobConfig job(uint32_t rows, uint32_t lanes) {
  JobConfig config;
  config.model.layers = {{.kind = LayerKind::kDense, .units = 8, .activation = Activation::kTanh},
                         {.kind = LayerKind::kDropout, .rate = 0.1},
                         {.kind = LayerKind::kDense, .units = 2}};
  config.train.epochs = 6;
  config.train.batch = 16;
  config.train.lanes = lanes;
  config.train.optimizer = {.kind = OptimizerKind::kAdam, .learning_rate = 0.02};
  config.resolved.train_rows = rows;
  config.resolved.input_width = 6;
  return config;
}

uint64_t in_turn(uint64_t /*epoch*/, uint32_t lane, uint64_t position, uint32_t lanes) {
  return position * lanes + lane;
}

TEST(PlainLoop, LearnsAndTakesEachRowOncePerEpoch) {
  const Data data = separable(101, 6);
  std::vector<int> taken(101);

  const PlainResult result =
      plain_sync_run(job(101, 4), data.features, data.labels, [&](auto epoch, auto lane, auto i) {
        const uint64_t row = in_turn(epoch, lane, i, 4);
        ++taken[row];
        return row;
      });

  for (int count : taken) EXPECT_EQ(count, 6);
  EXPECT_EQ(result.samples_applied, 606u);
  EXPECT_LT(result.step_losses.back(), 0.5 * result.step_losses.front());
}

TEST(PlainLoop, AgreesWithTheScheduleOfLanesOnStepsAndRows) {
  const JobConfig config = job(101, 4);
  const LaneSchedule schedule(101, 4, 16, config.train.epochs);
  const Data data = separable(101, 6);
  std::vector<uint64_t> lane_rows(4);

  const PlainResult result =
      plain_sync_run(config, data.features, data.labels, [&](auto epoch, auto lane, auto i) {
        lane_rows[lane] = std::max<uint64_t>(lane_rows[lane], i + 1);
        return in_turn(epoch, lane, i, 4);
      });

  EXPECT_EQ(result.step_losses.size(), schedule.steps());
  for (uint32_t lane = 0; lane < 4; ++lane) {
    EXPECT_EQ(lane_rows[lane], schedule.lane_rows(LaneId(lane)));
  }
}

TEST(PlainLoop, RepeatsItsBitsAndFollowsTheSeed) {
  const Data data = separable(50, 6);
  const auto order = [](auto epoch, auto lane, auto i) { return in_turn(epoch, lane, i, 2); };
  JobConfig config = job(50, 2);

  const PlainResult first = plain_sync_run(config, data.features, data.labels, order);
  const PlainResult again = plain_sync_run(config, data.features, data.labels, order);
  config.seed = 2;
  const PlainResult other = plain_sync_run(config, data.features, data.labels, order);

  EXPECT_EQ(first.weights, again.weights);
  EXPECT_NE(first.weights, other.weights);
}

// One step of SGD by hand: w - lr * mean gradient, for a model whose gradient is known.
TEST(PlainLoop, DoesOneStepOfGradientDescent) {
  JobConfig config;
  config.model.loss = LossKind::kMeanSquaredError;
  config.model.layers = {{.kind = LayerKind::kDense, .units = 1, .bias = false}};
  config.train.batch = 2;
  config.train.lanes = 2;
  config.train.max_steps = 1;
  config.train.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 0.25};
  config.resolved.train_rows = 2;
  config.resolved.input_width = 1;
  std::vector<float> start(1);
  fill_initial(parameters_of(config.model, 1)[0], 0, config.seed, 0, start);

  const PlainResult result =
      plain_sync_run(config, {1, 2}, {3, 5}, [](auto, auto lane, auto) { return uint64_t{lane}; });

  // d/dw ((w - 3)^2 + (2 w - 5)^2) / 2 = 5 w - 13
  EXPECT_NEAR(result.weights[0].values[0], start[0] - 0.25 * (5 * start[0] - 13), 1e-5);
}

}  // namespace
}  // namespace ballast
