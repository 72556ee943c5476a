// A step on a device whose streams work beside one another: every copy waits for what it needs, and
// nothing is written before its last reader is done, in whatever order the device does them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <optional>

#include "common/base/random.h"
#include "tests/common/storage/temporary_folder.h"
#include "tests/support/sim_device.h"
#include "tests/worker/train_step/streams_fixture.h"
#include "worker/device_trace.h"
#include "worker/step_graphs.h"

namespace ballast {
namespace {

using testing::ChangingWeights;
using testing::dropout_case;
using testing::give_away;
using ::testing::HasSubstr;
using testing::kBatches;
using testing::kJunk;
using testing::kRows;
using testing::kSeeds;
using testing::Lent;
using testing::plain_case;
using testing::ReferenceCase;
using testing::Seen;
using testing::SimDevice;

// One batch of a job: alone or in a sum of four; whichever of these follows on whichever.
struct Drawn {
  explicit Drawn(uint32_t batch)
      : number(hash_numbers({9, batch})),
        alone(batch % 5 == 4),
        first(alone || batch % 5 == 0),
        last(alone || batch % 5 == 3),
        rows(number % 3 == 0 ? kRows - 2 : kRows),
        weighted(number % 2 == 0) {}

  uint64_t number;
  bool alone, first, last;
  uint32_t rows;
  bool weighted;
};

// Steps of one and of several batches, with new weights before each, rows ahead of some, others
// than were put ahead, evaluations and predictions. While the batches of a sum follow one another
// the device may be busy with the one before.
Seen train(const ReferenceCase& c, Backend& backend) {
  const auto step = testing::step_of(c, backend, kRows, /*sums_batches=*/true);
  ChangingWeights weights(*step);
  GradientSet gradients = testing::gradients_for(*step);
  Seen seen;
  StepHooks hooks;
  hooks.gradient_final = [&](uint32_t layer) {
    give_away(layer, *step, gradients, seen.values);
    return Status();
  };
  const bool can_prefetch = dynamic_cast<SimDevice*>(&backend) != nullptr;
  auto lent = std::make_unique<Lent>(c, 0);
  std::unique_ptr<Lent> next, another;
  for (uint32_t batch = 0; batch < kBatches; ++batch) {
    const Drawn drawn(batch), after(batch + 1);
    if (drawn.first || drawn.number % 2 == 0) weights.change(batch);
    next = std::make_unique<Lent>(c, batch + 1);
    auto wrong = std::make_unique<Lent>(c, batch + 50);
    hooks.pass_launched = [&] {
      if (drawn.number % 7 < 2) return Status();
      const Lent& guess = drawn.number % 7 == 2 ? *wrong : *next;
      const bool weighted = after.weighted != (drawn.number % 7 == 3);
      EXPECT_EQ(step->prefetch(guess.rows(after.rows, weighted)), can_prefetch);
      return Status();
    };
    if (drawn.first && drawn.number % 5 < 2) {
      EXPECT_TRUE(step->evaluate(lent->rows(drawn.rows, false)).ok());
    }
    const auto result = step->run(
        lent->rows(drawn.rows, drawn.weighted),
        {.seed = 1, .batch = batch, .lane = LaneId(0), .first = drawn.first, .last = drawn.last},
        gradients, hooks);
    EXPECT_TRUE(result.ok()) << result.status().to_string();
    if (!result.ok()) return seen;
    lent = std::move(next);
    another = std::move(wrong);  // stays until one more is done
    seen.losses.push_back(result->loss_sum);
    if (!drawn.last || drawn.number % 3 == 0) continue;
    const Lent other(c, batch + 100);
    std::vector<float> outputs(kRows * step->output_width());
    const auto evaluated = step->evaluate(other.rows(kRows, true), outputs);
    EXPECT_TRUE(evaluated.ok());
    seen.losses.push_back(evaluated->loss_sum);
    seen.values.insert(seen.values.end(), outputs.begin(), outputs.end());
    EXPECT_TRUE(step->predict(other.rows(kRows, false).features, kRows, outputs).ok());
    seen.values.insert(seen.values.end(), outputs.begin(), outputs.end());
  }
  step->settle();
  return seen;
}

TEST(Streams, GiveTheBitsOfOneThatDoesEverythingAtOnce) {
  const ReferenceCase c = dropout_case();
  const Seen expected = train(c, *testing::cpu_backend());
  ASSERT_GT(expected.values.size(), 2000u);
  uint64_t overtaken = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);

    const Seen seen = train(c, device);

    ASSERT_TRUE(seen == expected) << "seed " << seed;
    EXPECT_EQ(device.launches(), 0u) << "the mask of dropout is another in every step";
    overtaken += device.overtaken();
  }
  EXPECT_GT(overtaken, 1000 * kSeeds) << "copies and arithmetic go on beside one another";
}

TEST(Streams, GiveTheSameBitsWhereStepsAreKeptAsGraphs) {
  const ReferenceCase c = plain_case();
  const Seen expected = train(c, *testing::cpu_backend());
  ASSERT_GT(expected.values.size(), 1000u);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);
    SimDevice refuses(seed, SimDevice::Bent::kRefusesGraphs);

    ASSERT_TRUE(train(c, device) == expected) << "seed " << seed;
    EXPECT_GT(device.launches(), kBatches / 3);
    ASSERT_TRUE(train(c, refuses) == expected) << "seed " << seed;
    EXPECT_EQ(refuses.launches(), 0u);
  }
}

TEST(Streams, AreTracedLayerByLayerAndNotAsAGraph) {
  const ReferenceCase c = plain_case();
  SimDevice device(1);
  const TemporaryFolder folder;
  const auto trace =
      Trace::open({.path = folder.path() + "/t", .role = "worker", .first_step = 0, .steps = 100})
          .value();
  DeviceTracks tracks(*trace);
  const auto step = testing::step_of(c, device, kRows);
  GradientSet gradients = testing::gradients_for(*step);
  for (int repeat = 0; repeat < 6; ++repeat) {
    ASSERT_TRUE(step->run(testing::rows_of(c), {.seed = 1}, gradients).ok());
  }
  const uint64_t launches = device.launches();
  EXPECT_GT(launches, 0u);

  step->trace(tracks);
  ASSERT_TRUE(step->run(testing::rows_of(c), {.seed = 1}, gradients).ok());

  EXPECT_EQ(device.launches(), launches);
}

class AheadOfAStep : public ::testing::Test {
 protected:
  AheadOfAStep() {
    const Lent lent(c_, 1);
    const StepRows rows = lent.rows(kRows, false);
    features_.assign(rows.features.begin(), rows.features.end());
    rows_.features = features_;
  }
  auto run() { return step_->run(rows_, {.seed = 1}, gradients_); }
  // All that is under way arrives.
  void wait() {
    for (uint32_t stream = 0; stream < 3; ++stream) {
      ASSERT_TRUE(device_.synchronize(StreamId(stream)).ok());
    }
    ASSERT_TRUE(device_.idle());
  }

  const ReferenceCase c_ = plain_case();
  SimDevice device_{1};
  const std::unique_ptr<TrainStep> step_ = testing::step_of(c_, device_, kRows);
  GradientSet gradients_ = testing::gradients_for(*step_);
  std::vector<float> features_;
  StepRows rows_ = testing::rows_of(c_);
};

TEST_F(AheadOfAStep, RowsAndWeightsTravelOnce) {
  ASSERT_TRUE(run().ok());
  std::vector<std::span<float>> host;
  for (uint32_t p = 0; p < step_->parameters().size(); ++p) host.push_back(step_->weights(p));
  const auto expected = run();
  ASSERT_TRUE(expected.ok());

  EXPECT_TRUE(step_->prefetch(rows_));
  for (uint32_t p = 0; p < host.size(); ++p) {
    const std::vector<float> same(host[p].begin(), host[p].end());
    step_->take_weights(p, 0, std::as_bytes(std::span(same)));
  }
  wait();
  std::ranges::fill(features_, kJunk);
  for (std::span<float> values : host) std::ranges::fill(values, kJunk);

  const auto found = run();
  ASSERT_TRUE(found.ok()) << found.status().to_string();
  EXPECT_EQ(found->loss_sum, expected->loss_sum);
  EXPECT_EQ(run().status().code(), Code::kDiverged) << "then as they are on the host";
}

// Their memory may have other rows by the next step.
TEST_F(AheadOfAStep, RowsAreForgottenAfterAStepThatFailedAndOnceSettled) {
  for (const bool fails : {true, false}) {
    StepHooks hooks;
    hooks.pass_launched = [&] {
      EXPECT_TRUE(step_->prefetch(rows_));
      return Status();
    };
    std::vector<float> bad = features_;
    bad[3] = kJunk;
    StepRows others = rows_;
    others.features = bad;
    if (fails) {
      ASSERT_EQ(step_->run(others, {.seed = 1}, gradients_, hooks).status().code(),
                Code::kDiverged);
    } else {
      EXPECT_TRUE(step_->prefetch(rows_));
      step_->settle();
    }

    std::ranges::fill(features_, kJunk);
    EXPECT_EQ(run().status().code(), Code::kDiverged);

    std::ranges::fill(features_, 0.5f);
    EXPECT_TRUE(run().ok());
  }
}

TEST(Streams, AreEmptyWhenAStepGoes) {
  const ReferenceCase c = plain_case();
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);
    auto step = testing::step_of(c, device, kRows);
    ChangingWeights(*step).change(1);
    step->prefetch(testing::rows_of(c));

    step.reset();

    EXPECT_TRUE(device.idle()) << "its memory goes with it";
  }
}

TEST(Streams, WithoutTheirWaitsGiveOthers) {
  const ReferenceCase c = dropout_case();
  const auto loss_on = [&](Backend& device) {
    const auto step = testing::step_of(c, device, kRows);
    GradientSet gradients = testing::gradients_for(*step);
    const auto result = step->run(testing::rows_of(c), {.seed = 1}, gradients);
    return result.ok() ? std::optional(result->loss_sum) : std::nullopt;
  };
  const std::optional<double> expected = loss_on(*testing::cpu_backend());
  ASSERT_TRUE(expected.has_value());
  uint64_t others = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice patient(seed), hasty(seed, SimDevice::Bent::kForgetsWaits);
    EXPECT_EQ(loss_on(patient), expected);
    others += loss_on(hasty) != expected;
  }
  EXPECT_GT(others, kSeeds / 2);
}

// A step of a model that goes one by one or, after some good steps, as a graph.
class StreamsThatFail : public ::testing::TestWithParam<bool> {
 protected:
  // Runs `rows` on a device that has done good steps before.
  Status run(SimDevice& device, const ReferenceCase& c, const StepRows& rows,
             const StepHooks& hooks) {
    const auto step = testing::step_of(c, device, kRows);
    GradientSet gradients = testing::gradients_for(*step);
    for (int good = 0; good < 6; ++good) {
      EXPECT_TRUE(step->run(testing::rows_of(c), {.seed = 1}, gradients).ok());
    }
    EXPECT_EQ(device.launches() > 0, GetParam());
    const uint64_t launches = device.launches();
    const Status status = step->run(rows, {.seed = 1}, gradients, hooks).status();
    EXPECT_EQ(device.launches() > launches, GetParam());
    EXPECT_TRUE(device.idle()) << "the caller takes its buffers back";
    return status;
  }

  const ReferenceCase c_ = GetParam() ? plain_case() : dropout_case();
};

INSTANTIATE_TEST_SUITE_P(Ways, StreamsThatFail, ::testing::Bool(),
                         [](const auto& way) { return way.param ? "AsAGraph" : "OneByOne"; });

TEST_P(StreamsThatFail, AreEmptyAfterAHookThatStops) {
  StepHooks hooks;
  hooks.gradient_final = [](uint32_t) { return Status(Code::kStopped, "enough"); };
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);

    EXPECT_EQ(run(device, c_, testing::rows_of(c_), hooks).code(), Code::kStopped);
  }
}

TEST_P(StreamsThatFail, TellABadLossBeforeAnyGradientIsHandedOver) {
  ReferenceCase bad = c_;
  bad.features[7] = kJunk;
  uint32_t handed_over = 0;
  StepHooks hooks;
  hooks.gradient_final = [&](uint32_t) {
    ++handed_over;
    return Status();
  };
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);

    const Status status = run(device, c_, testing::rows_of(bad), hooks);

    ASSERT_EQ(status.code(), Code::kDiverged);
    EXPECT_THAT(status.to_string(), HasSubstr("bad loss: that of row 1"));
    EXPECT_EQ(handed_over, 0u);
  }
}

// Large features with losses that are finite: their product with a derivative is not.
TEST_P(StreamsThatFail, TellABadGradientWhereTheLossIsGood) {
  ReferenceCase bad = c_;
  bad.model.layers.front().activation = Activation::kSigmoid;  // keeps what follows small
  ReferenceCase good = bad;
  bad.weights.assign(kRows, 3e38f);
  good.weights.assign(kRows, 1.0f);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDevice device(seed);

    const Status status = run(device, good, testing::rows_of(bad), {});

    ASSERT_EQ(status.code(), Code::kDiverged);
    EXPECT_THAT(status.to_string(), HasSubstr("bad gradient: a value of "));
  }
}

class StepGraphsTest : public ::testing::Test {
 protected:
  static ModelConfig model(LayerKind kind = LayerKind::kDense) {
    ModelConfig model;
    model.layers = {{.kind = LayerKind::kDense, .units = 512}, {.kind = kind, .units = 10}};
    return model;
  }
  static StepShape shape(uint32_t rows) { return {.rows = rows, .first = true, .last = true}; }
  bool keep(StepGraphs& graphs, const StepShape& of) {
    return graphs.keep(
        of, [] {}, [] {});
  }

  SimDevice device_{1};
  const StreamId stream_ = device_.create_stream();
};

TEST_F(StepGraphsTest, KeepAShapeThatWentWellOnce) {
  StepGraphs graphs(device_, stream_, model(), 784);
  EXPECT_EQ(graphs.way(shape(256)), StepGraphs::Way::kOneByOne);
  EXPECT_EQ(graphs.way(shape(256)), StepGraphs::Way::kOneByOne) << "it did not go well yet";

  graphs.went_well(shape(256));

  EXPECT_EQ(graphs.way(shape(256)), StepGraphs::Way::kKeep);
  EXPECT_TRUE(keep(graphs, shape(256)));
  EXPECT_EQ(graphs.way(shape(256)), StepGraphs::Way::kLaunch);
  EXPECT_EQ(graphs.way(shape(255)), StepGraphs::Way::kOneByOne);
}

TEST_F(StepGraphsTest, LeaveAShapeThatTheDeviceRefusedAlone) {
  SimDevice refuses(1, SimDevice::Bent::kRefusesGraphs);
  StepGraphs graphs(refuses, refuses.create_stream(), model(), 784);
  for (uint32_t rows : {8u, 9u}) {
    graphs.went_well(shape(rows));

    EXPECT_FALSE(keep(graphs, shape(rows)));

    graphs.went_well(shape(rows));
    EXPECT_EQ(graphs.way(shape(rows)), StepGraphs::Way::kOneByOne);
  }
}

TEST_F(StepGraphsTest, KeepNoLargeStepsNoDropoutAndNoMoreThanSoMany) {
  StepGraphs graphs(device_, stream_, model(), 784);
  StepGraphs with_dropout(device_, stream_, model(LayerKind::kDropout), 784);
  graphs.went_well(shape(16384));  // takes no place
  for (uint32_t rows = 1; rows <= 40; ++rows) graphs.went_well(shape(rows));
  with_dropout.went_well(shape(8));

  EXPECT_EQ(graphs.way(shape(32)), StepGraphs::Way::kKeep);
  EXPECT_EQ(graphs.way(shape(33)), StepGraphs::Way::kOneByOne);
  EXPECT_EQ(graphs.way(shape(16384)), StepGraphs::Way::kOneByOne);
  EXPECT_EQ(with_dropout.way(shape(8)), StepGraphs::Way::kOneByOne);
}

}  // namespace
}  // namespace ballast
