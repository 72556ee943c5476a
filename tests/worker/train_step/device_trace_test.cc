#include "worker/device_trace.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <limits>

#include "tests/common/storage/temporary_folder.h"
#include "tests/support/sim_device.h"
#include "tests/support/trace_spans.h"
#include "tests/worker/train_step/step_fixture.h"
#include "worker/local_optimizer.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A device that does what it is asked a second later: of it, only what a trace needs.
class LateDevice final : public Backend {
 public:
  [[nodiscard]] std::string description() const override { return "late"; }
  [[nodiscard]] std::string arithmetic() const override { return "none"; }
  [[nodiscard]] StreamId create_stream() override { return StreamId(0); }
  [[nodiscard]] EventId create_event() override { return create_timed_event(); }
  [[nodiscard]] EventId create_timed_event() override {
    happens_at_.emplace_back();
    return EventId(static_cast<uint32_t>(happens_at_.size() - 1));
  }
  // The first is the base: the device is free when it is recorded.
  void record(EventId event, StreamId) override {
    happens_at_[event.value()] = recorded_ == 0 ? Duration{} : 1s + recorded_ * 10ms;
    ++recorded_;
  }
  [[nodiscard]] Duration between(EventId from, EventId to) override {
    EXPECT_TRUE(synchronized_) << "before the work was done";
    return happens_at_[to.value()] - happens_at_[from.value()];
  }
  [[nodiscard]] Status synchronize(EventId event) override {
    synchronized_ = event.value() + 1 == happens_at_.size();
    return status_;
  }
  [[nodiscard]] Status synchronize(StreamId) override { return status_; }
  void begin_range(const char* name, uint64_t number) override {
    ranges_.push_back(fmt::format("{} {}", name, number));
    ++open_;
  }
  void end_range() override { --open_; }
  void fail() { status_ = Status(Code::kUnavailable, "device: gone"); }
  [[nodiscard]] const std::vector<std::string>& ranges() const { return ranges_; }
  [[nodiscard]] int open_ranges() const { return open_; }

  [[nodiscard]] Result<DeviceBuffer> allocate(size_t) override { return DeviceBuffer(); }
  [[nodiscard]] Buffer allocate_host(size_t) override { return {}; }
  [[nodiscard]] float* device_address(float*) override { return nullptr; }
  [[nodiscard]] bool happened(EventId) override { return false; }
  void upload(StreamId, std::span<const float>, Matrix) override {}
  void upload(StreamId, std::span<const std::byte>, StoredMatrix) override {}
  void upload(StreamId, std::span<const uint32_t>, Indices) override {}
  void download(StreamId, ConstMatrix, std::span<float>) override {}
  void wait(StreamId, EventId) override {}
  void convert(StreamId, StoredMatrix, ConstMatrix, ConstMatrix, ConstMatrix, Matrix) override {}
  void dense_forward(StreamId, ConstMatrix, ConstMatrix, ConstMatrix, Activation, Matrix,
                     Matrix) override {}
  void activation_backward(StreamId, Activation, ConstMatrix, ConstMatrix, ConstMatrix,
                           Matrix) override {}
  void dense_gradient(StreamId, ConstMatrix, ConstMatrix, Matrix, Matrix) override {}
  void dense_input_gradient(StreamId, ConstMatrix, ConstMatrix, Matrix) override {}
  void dropout(StreamId, ConstMatrix, double, const DropoutKey&, Matrix) override {}
  void layer_norm_forward(StreamId, ConstMatrix, ConstMatrix, ConstMatrix, double, Matrix, Matrix,
                          Matrix) override {}
  void layer_norm_backward(StreamId, ConstMatrix, ConstMatrix, ConstMatrix, ConstMatrix,
                           ConstMatrix, Matrix, Matrix, Matrix) override {}
  void segment_sum(StreamId, ConstMatrix, ConstIndices, ConstIndices, ConstMatrix,
                   Matrix) override {}
  void dot_interaction_forward(StreamId, ConstMatrix, uint32_t, Matrix) override {}
  void dot_interaction_backward(StreamId, ConstMatrix, uint32_t, ConstMatrix, Matrix) override {}
  void loss(StreamId, LossKind, ConstMatrix, ConstMatrix, ConstMatrix, Matrix, Matrix,
            Matrix) override {}
  void predict(StreamId, LossKind, ConstMatrix, Matrix) override {}
  void add(StreamId, ConstMatrix, Matrix) override {}
  void update(StreamId, const OptimizerConfig&, const UpdateArgs&, ConstMatrix, Matrix,
              std::span<const Matrix>) override {}
  void difference(StreamId, ConstMatrix, ConstMatrix, float, Matrix) override {}
  void copy(StreamId, ConstMatrix, Matrix) override {}
  void clear(StreamId, Matrix) override {}
  void find_non_finite(StreamId, ConstMatrix, Matrix) override {}

 private:
  std::vector<Duration> happens_at_;
  int recorded_ = 0;
  bool synchronized_ = false;
  Status status_;
  std::vector<std::string> ranges_;
  int open_ = 0;
};

class DeviceTraceTest : public ::testing::Test {
 protected:
  DeviceTraceTest() {
    ModelConfig model;
    model.layers = {{.kind = LayerKind::kDense, .units = 8, .activation = Activation::kRelu},
                    {.kind = LayerKind::kDropout, .rate = 0.25},
                    {.kind = LayerKind::kDense, .units = 4}};
    case_ = testing::random_case(model, 6, 4, 16, 1);
    step_ = testing::step_of(case_, *backend_, case_.rows);
    gradients_ = testing::gradients_for(*step_);
    trace_ = Trace::open({.path = path_, .role = "worker", .first_step = 5, .steps = 2}).value();
    device_.emplace(*trace_);
    step_->trace(*device_);
  }

  Status run(Clock clock) {
    StepContext context = testing::context_of(case_);
    context.clock = clock;
    return step_->run(testing::rows_of(case_), context, gradients_, hooks_).status();
  }

  // Of all streams, in the order of time.
  std::vector<testing::ReadSpan> spans() {
    for (TraceTrack* track : {&device_->compute, &device_->uploads, &device_->downloads}) {
      track->flush();
    }
    std::vector<testing::ReadSpan> found = testing::trace_spans(path_);
    std::ranges::stable_sort(found, {}, &testing::ReadSpan::begin);
    return found;
  }

  // "forward 0"
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const testing::ReadSpan& span : spans()) {
      const auto layer = span.args.find("layer");
      const bool whole = layer == span.args.end();
      found.push_back(whole ? span.name : fmt::format("{} {}", span.name, layer->second));
    }
    return found;
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/worker-0.jsonl";
  testing::ReferenceCase case_;
  std::unique_ptr<Backend> backend_ = testing::cpu_backend();
  std::unique_ptr<Trace> trace_;
  std::optional<DeviceTracks> device_;
  std::unique_ptr<TrainStep> step_;
  GradientSet gradients_;
  StepHooks hooks_;
};

TEST_F(DeviceTraceTest, TellsEveryPartOfAStepInTheOrderOfTheDevice) {
  const Time before = monotonic_now();
  ASSERT_TRUE(run(5).ok());
  const Time after = monotonic_now();

  EXPECT_THAT(names(), ElementsAre("forward 0", "forward 1", "forward 2", "loss", "download",
                                   "backward 2", "download 2", "backward input 2",
                                   "backward input 1", "backward 0", "download 0"));
  uint64_t last = static_cast<uint64_t>(before.time_since_epoch().count());
  for (const testing::ReadSpan& span : spans()) {
    EXPECT_EQ(span.args.at("step"), 5u);
    EXPECT_EQ(span.args.at("lane"), case_.lane);
    EXPECT_LE(last, span.begin) << span.name;
    EXPECT_LE(span.begin, span.end) << span.name;
    last = span.end;
  }
  // Host time is taken just after the event it stands for.
  EXPECT_LE(last, static_cast<uint64_t>((after + 1ms).time_since_epoch().count()));
}

TEST_F(DeviceTraceTest, TellsLocalStepsAndTheirDeltas) {
  ASSERT_TRUE(step_->local().allocate({.kind = OptimizerKind::kSgd}).ok());
  const StepContext context{.clock = 5, .local_rate = 0.1};
  ASSERT_TRUE(step_->run(testing::rows_of(case_), context, gradients_).ok());
  ASSERT_TRUE(step_->local().finish(1, gradients_, context).ok());

  EXPECT_THAT(names(),
              ElementsAre("forward 0", "forward 1", "forward 2", "loss", "download", "backward 2",
                          "backward input 2", "backward input 1", "backward 0", "local step",
                          "delta 2", "download 2", "delta 0", "download 0"));
}

TEST_F(DeviceTraceTest, TellsWhatWentAheadOfAStepAfterOneThatWasTold) {
  step_.reset();
  backend_ = std::make_unique<testing::SimDevice>(1);
  step_ = testing::step_of(case_, *backend_, case_.rows);
  gradients_ = testing::gradients_for(*step_);
  step_->trace(*device_);
  const auto take = [&] {
    const std::vector<float> values(step_->parameters()[0].element_count(), 0.5f);
    step_->take_weights(0, 0, std::as_bytes(std::span(values)));
  };
  const auto told = [&](std::string_view name) {
    std::vector<uint64_t> steps;
    for (const testing::ReadSpan& span : spans()) {
      if (span.name == name) steps.push_back(span.args.at("step"));
    }
    return steps;
  };
  std::vector<float> copy(case_.features);
  StepRows others = testing::rows_of(case_);
  others.features = copy;
  hooks_.pass_launched = [&] {
    step_->prefetch(others);
    return Status();
  };
  take();  // no step was told yet
  ASSERT_TRUE(run(5).ok());
  EXPECT_THAT(told("prefetch"), ElementsAre(5)) << "while that one was computed";
  EXPECT_THAT(told("upload"), SizeIs(3)) << "its rows and two layers, and none before it";
  take();
  ASSERT_TRUE(step_->evaluate(testing::rows_of(case_)).ok()) << "tells nothing";
  take();
  EXPECT_THAT(told("upload"), SizeIs(3));

  ASSERT_TRUE(run(6).ok());
  EXPECT_THAT(told("upload"), SizeIs(6)) << "twice weights, and its rows";
  take();
  ASSERT_TRUE(run(7).ok());
  take();
  ASSERT_TRUE(run(8).ok());
  EXPECT_THAT(told("upload"), SizeIs(6));
}

TEST_F(DeviceTraceTest, TellsNothingOfOtherStepsAndOfEvaluations) {
  for (Clock clock : {0, 4, 7, 8}) ASSERT_TRUE(run(clock).ok());
  ASSERT_TRUE(step_->evaluate(testing::rows_of(case_)).ok());

  EXPECT_THAT(spans(), IsEmpty());
}

TEST_F(DeviceTraceTest, AStepAfterOneThatFailedIsTold) {
  const float good = case_.features[3];
  case_.features[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(run(5).code(), Code::kDiverged);
  const size_t of_failed = spans().size();
  ASSERT_TRUE(step_->evaluate(testing::rows_of(case_)).status().code() == Code::kDiverged);
  EXPECT_EQ(spans().size(), of_failed);
  case_.features[3] = good;

  ASSERT_TRUE(run(6).ok());

  EXPECT_EQ(spans().size(), of_failed + 11);
}

TEST_F(DeviceTraceTest, ShowsWhenTheDeviceWorkedAndNotWhenItWasAsked) {
  LateDevice late;
  DeviceTrace trace(late, {{StreamId(0), device_->compute}});
  const Time before = monotonic_now();
  {
    const DeviceTrace::Pass pass(&trace, 5, LaneId(1));
    { const DeviceTrace::Part part(&trace, StreamId(0), "upload"); }
    { const DeviceTrace::Part part(&trace, StreamId(0), "forward", 2); }
  }
  const Time after = monotonic_now();

  const auto found = spans();
  ASSERT_THAT(found, SizeIs(2));
  const auto since = [](uint64_t time, Time start) {
    return Duration(static_cast<int64_t>(time)) - start.time_since_epoch();
  };
  EXPECT_GE(since(found[0].begin, before), 1s + 10ms);
  EXPECT_LE(since(found[0].begin, after), 1s + 10ms);
  EXPECT_EQ(found[0].end - found[0].begin, 10'000'000u);
  EXPECT_EQ(found[1].begin - found[0].end, 10'000'000u);
  EXPECT_EQ(found[1].args.at("layer"), 2u);
  EXPECT_THAT(late.ranges(), ElementsAre("step 5", "upload 5", "forward 2"));
  EXPECT_EQ(late.open_ranges(), 0);
}

TEST_F(DeviceTraceTest, ADeviceThatFailedTellsNothing) {
  LateDevice late;
  late.fail();
  DeviceTrace trace(late, {{StreamId(0), device_->compute}});
  {
    const DeviceTrace::Pass pass(&trace, 5, LaneId(1));
    const DeviceTrace::Part part(&trace, StreamId(0), "upload");
  }

  EXPECT_THAT(spans(), IsEmpty());
  EXPECT_EQ(late.open_ranges(), 0);
}

TEST_F(DeviceTraceTest, ChangesNoBit) {
  ASSERT_TRUE(run(5).ok());
  const auto plain = testing::step_of(case_, *backend_, case_.rows);
  GradientSet expected = testing::gradients_for(*plain);
  ASSERT_TRUE(
      plain->run(testing::rows_of(case_), testing::context_of(case_), expected).status().ok());

  for (size_t p = 0; p < expected.parameters.size(); ++p) {
    EXPECT_TRUE(
        std::ranges::equal(gradients_.parameters[p].floats(), expected.parameters[p].floats()));
  }
}

}  // namespace
}  // namespace ballast
