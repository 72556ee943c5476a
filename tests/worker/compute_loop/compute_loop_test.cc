#include "worker/compute_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <thread>

#include "common/compute/backend.h"
#include "tests/support/sim_device.h"
#include "tests/support/trace_spans.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/order_ledger.h"
#include "worker/evaluate_slice.h"

namespace ballast {
namespace {

constexpr uint64_t kRows = 64;
constexpr uint64_t kTestRows = 8 * kEvaluationRows;
constexpr uint32_t kWidth = 8;

// A loop whose session is the test.
class ComputeLoopTest : public DataFixture {
 protected:
  void make(JobConfig job = {}) { make(std::move(job), make_backend(Device::kCpu, {}).value()); }

  void make(JobConfig job, std::unique_ptr<Backend> backend, ComputeTrace* trace = nullptr) {
    reports_.clear();
    loop_.reset();
    step_.reset();
    std::filesystem::remove_all(path("train"));
    std::filesystem::remove_all(path("test"));
    job_ = std::move(job);
    job_.data.train = write_pixels("train", kRows, kWidth);
    job_.data.test = write_pixels("test", kTestRows, kWidth);
    job_.data.features = {"pixels"};
    job_.data.label = "label";
    job_.data.order = Order::kFull;
    job_.model.layers.push_back({.kind = LayerKind::kDense, .units = 16});
    job_.model.layers.push_back({.kind = LayerKind::kDense, .units = 10});
    job_.train.lanes = 4;
    schedule_.emplace(kRows, job_.train.lanes, /*batch=*/16, /*epochs=*/100, /*max_steps=*/0,
                      Tail::kShort, job_.train.local_steps);
    backend_ = std::move(backend);
    loader_ = BatchLoader::open(job_, *schedule_).value();
    evaluation_ = EvalLoader::open(job_, job_.data.test, 1, kEvaluationRows).value();
    step_ = TrainStep::create(job_.model, kWidth, 1, kEvaluationRows, *backend_,
                              job_.train.local_steps > 1)
                .value();
    units_ = cut_units(step_->parameters(), job_.cluster.unit_bytes);
    loop_ = std::make_unique<ComputeLoop>(
        job_, WorkerId(0), *schedule_, units_, *step_, *loader_, evaluation_.get(),
        [this](SessionEvent event) {
          reports_.push_back(std::move(event));
          on_report_();
        },
        trace);
  }

  // Lanes 0 and 3 do not share a node of the tree: two groups.
  static session_effect::Compute two_groups(uint64_t number) {
    return {.job = number, .clock = 0, .groups = {{{0, 1}, {LaneId(0)}}, {{3, 4}, {LaneId(3)}}}};
  }

  // Runs the loop for one step of lane 1, until it is reported.
  void compute_lane_1(Clock clock) {
    on_report_ = [this] {
      if (count<session_event::ComputeDone>() > 0) loop_->close();
    };
    loop_->push(
        session_effect::Compute{.job = 1, .clock = clock, .groups = {{{1, 2}, {LaneId(1)}}}});
    loop_->run();
  }

  void deliver_weights(float value) {
    for (const UnitSpec& unit : units_) {
      Buffer weights = Buffer::allocate(unit.bytes());
      std::ranges::fill(weights.floats(), value);
      loop_->push(session_effect::DeliverWeights{unit.id, std::move(weights)});
    }
  }

  void fill_weights(float value) {
    for (uint32_t p = 0; p < step_->parameters().size(); ++p) {
      std::ranges::fill(step_->weights(p), value);
    }
  }

  // How many spans of this name a loop has that run(trace) makes and ends.
  int64_t spans_of(std::string_view name, const std::function<void(ComputeTrace*)>& run) {
    const std::string file = path("trace");
    const auto trace =
        Trace::open({.path = file, .role = "worker", .first_step = 0, .steps = 100}).value();
    ComputeTrace compute(*trace);
    run(&compute);
    compute.thread.flush();
    compute.device.uploads.flush();
    loop_.reset();
    step_.reset();
    return std::ranges::count(testing::trace_spans(file), name, &testing::ReadSpan::name);
  }

  std::vector<float> gradients_reported() const {
    std::vector<float> values;
    for (const SessionEvent& event : reports_) {
      const auto* ready = std::get_if<session_event::GradientReady>(&event);
      if (ready == nullptr) continue;
      for (const auto& part : ready->parts) {
        values.insert(values.end(), part.gradient.floats().begin(), part.gradient.floats().end());
      }
    }
    return values;
  }

  template <typename Event>
  size_t count() const {
    return static_cast<size_t>(std::ranges::count_if(
        reports_, [](const SessionEvent& event) { return std::holds_alternative<Event>(event); }));
  }

  JobConfig job_;
  std::optional<LaneSchedule> schedule_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<BatchLoader> loader_;
  std::unique_ptr<EvalLoader> evaluation_;
  std::unique_ptr<TrainStep> step_;
  std::vector<UnitSpec> units_;
  std::unique_ptr<ComputeLoop> loop_;
  std::vector<SessionEvent> reports_;
  std::function<void()> on_report_ = [] {};
};

TEST_F(ComputeLoopTest, EvaluatesASliceBatchByBatchAndReportsItOnce) {
  make();
  on_report_ = [this] {
    if (count<session_event::EvaluationDone>() > 0) loop_->close();
  };
  loop_->push(session_effect::EvaluateSlices{1, {LaneId(0)}});

  loop_->run();

  EXPECT_EQ(count<session_event::Beat>(), kTestRows / kEvaluationRows);
  EXPECT_EQ(count<session_event::EvaluationDone>(), 1u);
}

TEST_F(ComputeLoopTest, GivesAnEvaluationUpBetweenTwoBatches) {
  make();
  on_report_ = [this] { loop_->close(); };
  loop_->push(session_effect::EvaluateSlices{1, {LaneId(0)}});

  loop_->run();

  ASSERT_EQ(reports_.size(), 1u) << "one batch, and no result or failure after it";
  EXPECT_EQ(count<session_event::Beat>(), 1u);
}

TEST_F(ComputeLoopTest, GivesAStepUpBetweenTwoLayers) {
  make();
  on_report_ = [this] { loop_->close(); };
  loop_->push(two_groups(1));

  loop_->run();

  ASSERT_EQ(reports_.size(), 1u) << "the last layer of the first group";
  EXPECT_EQ(count<session_event::GradientReady>(), 1u);
}

TEST_F(ComputeLoopTest, NamesTheRowsOfEveryLaneOfAGroupWithEachOfItsLayers) {
  make();
  on_report_ = [this] {
    if (count<session_event::ComputeDone>() > 0) loop_->close();
  };
  loop_->push(session_effect::Compute{
      .job = 1, .clock = 5, .groups = {{{0, 2}, {LaneId(0), LaneId(1)}}, {{3, 4}, {LaneId(3)}}}});

  loop_->run();

  const auto named = [&](uint32_t lane) {
    const LaneId id(lane);
    return batch_hash(id, 5, loader_->take({&id, 1}, 5).value().row_ids);
  };
  ASSERT_EQ(count<session_event::GradientReady>(), 4u) << "two groups of two layers";
  for (const SessionEvent& event : reports_) {
    const auto* ready = std::get_if<session_event::GradientReady>(&event);
    if (ready == nullptr) continue;
    EXPECT_EQ(ready->rows_hashes, ready->group == 0 ? std::vector<uint64_t>({named(0), named(1)})
                                                    : std::vector<uint64_t>({named(3)}));
  }
}

TEST_F(ComputeLoopTest, HandsOverOneSumForTheBatchesOfAStep) {
  JobConfig job;
  job.train.local_steps = 3;
  make(job);  // 4 batches an epoch: step 1 has the fourth, step 2 the first three of the next

  compute_lane_1(2);

  const LaneId lane(1);
  uint64_t named = 0;
  for (Clock number : {4u, 5u, 6u}) {
    named += loader_->take({&lane, 1}, number).value().rows_hashes.front();
  }
  ASSERT_EQ(count<session_event::GradientReady>(), 2u) << "a layer each";
  for (const SessionEvent& event : reports_) {
    if (const auto* ready = std::get_if<session_event::GradientReady>(&event)) {
      EXPECT_EQ(ready->rows_hashes, std::vector<uint64_t>{named});
      EXPECT_EQ(ready->lane_weights, std::vector<double>{12.0}) << "3 batches of 4 rows";
    } else if (const auto* done = std::get_if<session_event::ComputeDone>(&event)) {
      EXPECT_EQ(done->weight_sum, 12.0);
    }
  }
}

TEST_F(ComputeLoopTest, PushesWhatLocalStepsChangedAndLeavesTheWeightsAsTheyWere) {
  JobConfig job;
  job.train.local_steps = 3;
  job.train.push = PushKind::kDelta;
  job.train.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 0.5};
  make(job);
  fill_weights(0.25f);

  compute_lane_1(0);

  ASSERT_EQ(count<session_event::GradientReady>(), 2u);
  bool changed = false;
  for (const SessionEvent& event : reports_) {
    const auto* ready = std::get_if<session_event::GradientReady>(&event);
    if (ready == nullptr) continue;
    for (const auto& part : ready->parts) {
      for (float value : part.gradient.floats()) changed = changed || value != 0;
    }
  }
  EXPECT_TRUE(changed);
  for (uint32_t p = 0; p < step_->parameters().size(); ++p) {
    for (float weight : step_->weights(p)) ASSERT_EQ(weight, 0.25f);
  }
}

TEST_F(ComputeLoopTest, PushesTheSameDeltasFromADeviceOfItsOwnMemory) {
  JobConfig job;
  job.train.local_steps = 3;
  job.train.push = PushKind::kDelta;
  job.train.optimizer = {.kind = OptimizerKind::kAdam, .learning_rate = 0.01};
  const auto deltas_on = [&](std::unique_ptr<Backend> backend) {
    make(job, std::move(backend));
    fill_weights(0.25f);
    size_t done = 0;
    on_report_ = [&] {
      done += std::holds_alternative<session_event::ComputeDone>(reports_.back());
      if (done == 2) loop_->close();
    };
    // Lane after lane from the same weights, then from others.
    loop_->push(two_groups(1));
    deliver_weights(0.125f);
    loop_->push(session_effect::Compute{.job = 2, .clock = 1, .groups = {{{1, 2}, {LaneId(1)}}}});
    loop_->run();
    return gradients_reported();
  };
  const std::vector<float> expected = deltas_on(make_backend(Device::kCpu, {}).value());
  ASSERT_EQ(expected.size(), 3 * (8 * 16 + 16 + 16 * 10 + 10)) << "of three lanes";
  for (uint64_t seed = 0; seed < 5; ++seed) {
    EXPECT_EQ(deltas_on(std::make_unique<testing::SimDevice>(seed)), expected) << "seed " << seed;
  }
}

// On a device of its own memory the rows of the next lane travel while one is computed.
TEST_F(ComputeLoopTest, PutsTheRowsAheadThatTheLoaderHasReady) {
  constexpr Clock kSteps = 12;
  const LaneId lanes[] = {LaneId(0), LaneId(3)};
  const auto gradients_on = [&](std::unique_ptr<Backend> backend, ComputeTrace* trace) {
    make({}, std::move(backend), trace);
    fill_weights(0.25f);
    loader_->follow(lanes, 0);
    Clock done = 0;
    on_report_ = [&] {
      if (!std::holds_alternative<session_event::ComputeDone>(reports_.back())) return;
      if (++done == kSteps) return loop_->close();
      while (loader_->next_ready() == nullptr) std::this_thread::yield();
      deliver_weights(0.01f * static_cast<float>(done));
      session_effect::Compute next = two_groups(done + 1);
      next.clock = done;
      loop_->push(std::move(next));
    };
    loop_->push(two_groups(1));
    loop_->run();
    EXPECT_EQ(done, kSteps);
    return gradients_reported();
  };
  const std::vector<float> expected = gradients_on(make_backend(Device::kCpu, {}).value(), nullptr);
  ASSERT_EQ(expected.size(), kSteps * 2 * (8 * 16 + 16 + 16 * 10 + 10));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const int64_t prefetched = spans_of("prefetch", [&](ComputeTrace* trace) {
      EXPECT_EQ(gradients_on(std::make_unique<testing::SimDevice>(seed), trace), expected);
    });
    EXPECT_GE(prefetched, static_cast<int64_t>(kSteps) - 1) << "before each step";
  }
}

// Weights that come while a step is computed are for the next, whenever they are taken.
TEST_F(ComputeLoopTest, StagesWeightsThatComeWhileTheDeviceComputes) {
  constexpr Clock kSteps = 8;
  for (const PushKind push : {PushKind::kGradient, PushKind::kDelta}) {
    JobConfig job;
    job.train.local_steps = 4;
    job.train.push = push;
    const auto pushed_on = [&](std::unique_ptr<Backend> backend, ComputeTrace* trace) {
      make(job, std::move(backend), trace);
      fill_weights(0.25f);
      Clock done = 0;
      size_t beats = 0;
      on_report_ = [&] {
        if (std::holds_alternative<session_event::Beat>(reports_.back()) && beats++ % 3 == 0) {
          deliver_weights(0.01f * static_cast<float>(done));
          session_effect::Compute next{
              .job = done + 2, .clock = done + 1, .groups = {{{0, 1}, {LaneId(0)}}}};
          loop_->push(std::move(next));
        }
        if (!std::holds_alternative<session_event::ComputeDone>(reports_.back())) return;
        if (++done == kSteps) loop_->close();
      };
      loop_->push(session_effect::Compute{.job = 1, .clock = 0, .groups = {{{0, 1}, {LaneId(0)}}}});
      loop_->run();
      EXPECT_EQ(done, kSteps);
      return gradients_reported();
    };
    const std::vector<float> expected = pushed_on(make_backend(Device::kCpu, {}).value(), nullptr);
    ASSERT_EQ(expected.size(), kSteps * (8 * 16 + 16 + 16 * 10 + 10));
    int64_t staged = 0;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      staged += spans_of("stage weights", [&](ComputeTrace* trace) {
        EXPECT_EQ(pushed_on(std::make_unique<testing::SimDevice>(seed), trace), expected) << seed;
      });
    }
    EXPECT_GT(staged, static_cast<int64_t>(kSteps));
  }
}

// Of a step that is skipped all batches are taken and no more are computed: the memory of what was
// prefetched goes to others.
TEST_F(ComputeLoopTest, PrefetchesNothingIntoAStepAfterOneThatWasSkipped) {
  constexpr Clock kSteps = 20;
  JobConfig job;
  job.train.local_steps = 4;
  job.train.on_bad_gradient = OnBadGradient::kSkip;
  const auto gradients_on = [&](std::unique_ptr<Backend> backend) {
    make(job, std::move(backend));
    fill_weights(1e30f);  // every second step diverges
    const LaneId lane(0);
    loader_->follow(std::span(&lane, 1), 0);
    while (loader_->next_ready() == nullptr) std::this_thread::yield();
    Clock done = 0;
    const auto order = [&] {
      loop_->push(session_effect::Compute{
          .job = done + 1, .clock = done, .groups = {{{0, 1}, {LaneId(0)}}}});
    };
    on_report_ = [&] {
      if (!std::holds_alternative<session_event::ComputeDone>(reports_.back())) return;
      if (++done == kSteps) return loop_->close();
      for (const UnitSpec& unit : units_) {
        Buffer weights = Buffer::allocate(unit.bytes());
        for (size_t i = 0; i < weights.floats().size(); ++i) {
          weights.floats()[i] = done % 2 == 0 ? 1e30f : 0.001f * static_cast<float>(i * 37 % 101);
        }
        loop_->push(session_effect::DeliverWeights{unit.id, std::move(weights)});
      }
      order();
    };
    order();
    loop_->run();
    EXPECT_EQ(done, kSteps);
    return gradients_reported();
  };
  const std::vector<float> expected = gradients_on(make_backend(Device::kCpu, {}).value());
  ASSERT_EQ(expected.size(), kSteps * (8 * 16 + 16 + 16 * 10 + 10));
  for (uint64_t seed = 0; seed < 10; ++seed) {
    EXPECT_EQ(gradients_on(std::make_unique<testing::SimDevice>(seed)), expected) << seed;
  }
}

TEST_F(ComputeLoopTest, LeavesNothingUnderWayHoweverItEnds) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    auto backend = std::make_unique<testing::SimDevice>(seed);
    const testing::SimDevice& device = *backend;
    make({}, std::move(backend));
    fill_weights(0.25f);
    const LaneId lanes[] = {LaneId(0), LaneId(3)};
    loader_->follow(lanes, 0);
    on_report_ = [&] {
      if (!std::holds_alternative<session_event::ComputeDone>(reports_.back())) return;
      while (loader_->next_ready() == nullptr) std::this_thread::yield();
      if (seed % 2 == 0) loop_->push(two_groups(2));
      loop_->close();
    };
    loop_->push(two_groups(1));

    loop_->run();

    EXPECT_TRUE(device.idle()) << "seed " << seed;
  }
}

// One local step of this size leaves float32, though loss and gradients are finite.
TEST_F(ComputeLoopTest, RefusesADeltaThatIsNotFinite) {
  for (const OnBadGradient rule : {OnBadGradient::kStop, OnBadGradient::kSkip}) {
    JobConfig job;
    job.train.push = PushKind::kDelta;
    job.train.on_bad_gradient = rule;
    job.train.optimizer = {.kind = OptimizerKind::kAdam, .learning_rate = 1e38};
    make(job);
    fill_weights(0.25f);

    compute_lane_1(0);

    if (rule == OnBadGradient::kStop) {
      ASSERT_EQ(count<session_event::ComputeFailed>(), 1u);
      EXPECT_EQ(count<session_event::GradientReady>(), 0u);
      continue;
    }
    ASSERT_EQ(count<session_event::GradientReady>(), 2u);
    for (const SessionEvent& event : reports_) {
      const auto* ready = std::get_if<session_event::GradientReady>(&event);
      if (ready == nullptr) continue;
      EXPECT_EQ(ready->lane_weights, std::vector<double>{4.0});
      for (const auto& part : ready->parts) {
        for (float value : part.gradient.floats()) ASSERT_EQ(value, 0.0f);
      }
    }
    EXPECT_EQ(step_->weights(0)[0], 0.25f);
  }
}

TEST_F(ComputeLoopTest, SaysBetweenTheBatchesOfAStepThatItGetsOnAndStopsThere) {
  JobConfig job;
  job.train.local_steps = 4;
  make(job);
  on_report_ = [this] {
    if (count<session_event::Beat>() == 2) loop_->close();
  };
  loop_->push(session_effect::Compute{.job = 1, .clock = 0, .groups = {{{1, 2}, {LaneId(1)}}}});

  loop_->run();

  EXPECT_EQ(reports_.size(), 2u) << "and neither a gradient nor a failure";
}

TEST_F(ComputeLoopTest, DropsOrdersThatWaitWhenItIsClosed) {
  make();
  loop_->push(two_groups(1));
  loop_->push(two_groups(2));
  loop_->close();

  loop_->run();

  EXPECT_TRUE(reports_.empty());
}

TEST_F(ComputeLoopTest, EndsAPauseOfAStragglerWhenItIsClosed) {
  JobConfig job;
  job.fault.pause_chance = 1;
  job.fault.pause_ms = 60'000;
  make(job);
  std::promise<void> computed;
  size_t layers_left = 2 * job_.model.layers.size();  // of two groups
  on_report_ = [&] {
    if (--layers_left == 0) computed.set_value();
  };
  loop_->push(two_groups(1));

  const Time started = monotonic_now();
  std::thread computing([this] { loop_->run(); });
  computed.get_future().wait();
  loop_->close();
  computing.join();

  EXPECT_LT(monotonic_now() - started, 20s);
}

TEST_F(ComputeLoopTest, ReportsAStepThatFailsAndTakesNoMoreOrders) {
  make();
  loop_->push(session_effect::DeliverWeights{UnitId(0), Buffer::allocate(4)});  // too few
  loop_->push(two_groups(1));

  loop_->run();

  ASSERT_EQ(reports_.size(), 1u);
  EXPECT_EQ(count<session_event::ComputeFailed>(), 1u);
}

// The session goes on giving orders until it has heard of it: it must not wait for room.
TEST_F(ComputeLoopTest, SaysWhenItsLocalOptimizerFindsNoMemoryAndTakesOrdersNoMore) {
  JobConfig job;
  job.train.local_steps = 2;
  job.train.push = PushKind::kDelta;
  auto device = std::make_unique<testing::SimDevice>(1);
  testing::SimDevice& full = *device;
  make(std::move(job), std::move(device));
  full.refuse_memory_after(1);

  loop_->run();

  ASSERT_EQ(count<session_event::ComputeFailed>(), 1u);
  const auto& failed = std::get<session_event::ComputeFailed>(reports_.back());
  EXPECT_EQ(failed.status.code(), Code::kExhausted);
  EXPECT_THAT(failed.status.to_string(), ::testing::HasSubstr("local optimizer of layer0"));
  for (size_t i = 0; i < 8 * units_.size() + 128; ++i) {
    loop_->push(session_effect::EvaluateSlices{1, {LaneId(0)}});
  }
}

}  // namespace
}  // namespace ballast
