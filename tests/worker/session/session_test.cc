#include "worker/session.h"

#include <gtest/gtest.h>

#include <functional>

namespace ballast {
namespace {

constexpr uint32_t kUnits = 2;  // dense 2 -> 1: the weight and the bias

JobConfig small_job(Mode mode) {
  JobConfig job;
  job.train.mode = mode;
  job.train.lanes = 4;
  job.train.batch = 8;
  job.train.epochs = 2;  // of two steps
  job.train.staleness = 1;
  job.model.layers.push_back({.kind = LayerKind::kDense, .units = 1});
  job.resolved.train_rows = 16;
  job.resolved.input_width = 2;
  return job;
}

// A session that plays against the test: the test is coordinator, shard and computing side.
class SessionTest : public ::testing::Test {
 protected:
  void start(JobConfig job) {
    SessionConfig config;
    config.incarnation = 1;
    config.job = std::move(job);
    config.parameters = parameters_of(config.job.model, config.job.resolved.input_width);
    config.units = cut_units(config.parameters, config.job.cluster.unit_bytes);
    config.job_hash = "job";
    config.retry_after = 100ms;
    parameters_ = config.parameters;
    session_ = std::make_unique<WorkerSession>(config);
    session_->start(now_, out_);
    hear(wire::Welcome{1, 0});
    hear(view(1));
  }

  void start(Mode mode) { start(small_job(mode)); }

  static wire::View view(uint64_t number, Incarnation incarnation = 1) {
    wire::View view{1, number, {{ShardId(0), "shard", incarnation}}, {}};
    for (uint32_t unit = 0; unit < kUnits; ++unit) {
      view.units.push_back({UnitId(unit), ShardId(0), 0});
    }
    return view;
  }

  void handle(SessionEvent event) {
    out_.clear();
    session_->handle(std::move(event), now_, out_);
    keep_requests();
  }
  void hear(wire::Any message) {
    handle(session_event::Received{{Role::kCoordinator, 0, 1}, std::move(message)});
  }
  void hear_from(const Peer& from, wire::Any message) {
    handle(session_event::Received{from, std::move(message)});
  }
  void assign(uint32_t lane, Clock start, uint64_t number = 1, Fence fence = 1) {
    hear(wire::Assign{1, {{LaneId(lane), fence, number, start}}, 0});
  }

  // The requests of the last event, by unit.
  void keep_requests() {
    for (const session_effect::Send& sent : all<session_effect::Send>()) {
      if (const auto* pull = std::get_if<wire::Pull>(&sent.message)) {
        for (const wire::PullEntry& entry : pull->entries) pulls_[entry.unit] = entry;
      } else if (const auto* push = std::get_if<wire::Push>(&sent.message)) {
        for (const wire::PushEntry& entry : push->entries) pushes_[entry.unit].push_back(entry);
      }
    }
  }

  void reply(uint64_t sequence, uint32_t unit, wire::ReplyCode code, Version version,
             Clock least_clock = 0, std::vector<LaneId> missing = {},
             std::vector<wire::LaneFence> fences = {}) {
    const bool brings = code == wire::ReplyCode::kWeights || code == wire::ReplyCode::kClosed ||
                        code == wire::ReplyCode::kApplied;
    wire::Reply message;
    message.entries.push_back({.sequence = sequence,
                               .unit = UnitId(unit),
                               .epoch = 0,
                               .code = code,
                               .version = version,
                               .least_clock = least_clock,
                               .fences = std::move(fences),
                               .missing = std::move(missing),
                               .weights = brings ? Buffer::allocate(unit == 0 ? 8 : 4) : Buffer()});
    handle(session_event::Received{{Role::kServer, 0, 1}, std::move(message)});
  }

  // Answers the pull of every unit.
  void bring_weights(Version version, Clock least_clock = 0) {
    for (uint32_t unit = 0; unit < kUnits; ++unit) {
      const auto asked = pulls_.find(UnitId(unit));
      ASSERT_NE(asked, pulls_.end()) << "unit " << unit << " was not asked for";
      const uint64_t sequence = asked->second.sequence;
      pulls_.erase(asked);
      reply(sequence, unit, wire::ReplyCode::kWeights, version, least_clock);
    }
  }

  // Answers every push so far alike.
  void answer_pushes(wire::ReplyCode code, Version version, Clock least_clock = 0) {
    const auto pushes = std::exchange(pushes_, {});
    for (const auto& [unit, entries] : pushes) {
      for (const wire::PushEntry& entry : entries) {
        reply(entry.sequence, unit.value(), code, version, least_clock);
      }
    }
  }

  static uint64_t hash_of(LaneId lane, Clock clock) { return 1000 * clock + lane.value() + 1; }
  static std::vector<uint64_t> hashes_of(const LaneGroup& group, Clock clock) {
    std::vector<uint64_t> hashes;
    for (LaneId lane : group.lanes) hashes.push_back(hash_of(lane, clock));
    return hashes;
  }

  // The computing side does what it was last told.
  void compute() {
    const auto jobs = all<session_effect::Compute>();
    ASSERT_EQ(jobs.size(), 1u);
    const session_effect::Compute job = jobs[0];
    for (size_t group = 0; group < job.groups.size(); ++group) {
      for (uint32_t p = 0; p < parameters_.size(); ++p) {
        const size_t bytes = parameters_[p].element_count() * sizeof(float);
        handle(session_event::GradientReady{job.job,
                                            group,
                                            {{p, Buffer::allocate(bytes)}},
                                            hashes_of(job.groups[group], job.clock)});
      }
    }
    handle(session_event::ComputeDone{.job = job.job, .loss_sum = 1, .weight_sum = 2});
  }

  std::optional<Status> wait(Duration duration, const std::function<void()>& each = {});

  // Of the last event.
  template <typename Effect>
  std::vector<Effect> all() const {
    std::vector<Effect> found;
    for (const SessionEffect& effect : out_) {
      if (const auto* one = std::get_if<Effect>(&effect)) found.push_back(*one);
    }
    return found;
  }
  template <typename Message>
  std::optional<Message> said() const {
    std::optional<Message> last;
    for (const session_effect::Send& sent : all<session_effect::Send>()) {
      if (const auto* message = std::get_if<Message>(&sent.message)) last = *message;
    }
    return last;
  }
  wire::LaneProgress lane(uint32_t id) const {
    for (const wire::LaneProgress& lane : session_->progress(now_).lanes) {
      if (lane.lane == LaneId(id)) return lane;
    }
    return {};
  }

  Time now_{1s};
  std::vector<ParameterSpec> parameters_;
  std::unique_ptr<WorkerSession> session_;
  SessionEffects out_;
  std::map<UnitId, wire::PullEntry> pulls_;
  std::map<UnitId, std::vector<wire::PushEntry>> pushes_;
};

TEST_F(SessionTest, ConnectsToTheShardsOfAView) {
  start(Mode::kSync);

  const auto connects = all<session_effect::Connect>();
  ASSERT_EQ(connects.size(), 1u);
  EXPECT_EQ(connects[0].endpoint, "shard");
  hear(view(1, 9));
  EXPECT_TRUE(all<session_effect::Connect>().empty()) << "not newer";
  hear(view(2, 9));
  EXPECT_EQ(all<session_effect::Connect>().at(0).shard.incarnation, 9u);
}

TEST_F(SessionTest, ComputesAStepWhenEveryUnitIsAtItsVersion) {
  start(Mode::kSync);
  assign(0, 0);
  EXPECT_TRUE(said<wire::Assigned>().has_value());
  reply(pulls_.at(UnitId(0)).sequence, 0, wire::ReplyCode::kWeights, 0);
  EXPECT_TRUE(all<session_effect::Compute>().empty());

  reply(pulls_.at(UnitId(1)).sequence, 1, wire::ReplyCode::kWeights, 0);

  ASSERT_EQ(all<session_effect::Compute>().size(), 1u);
  EXPECT_EQ(all<session_effect::Compute>()[0].clock, 0u);
}

TEST_F(SessionTest, SendsTheSumOfAnAlignedRangeAsOneNode) {
  start(Mode::kSync);
  for (uint32_t id : {0u, 1u, 3u}) assign(id, 0);  // lane 0 starts alone, the others join it
  bring_weights(0);

  std::vector<std::pair<uint32_t, uint32_t>> nodes;
  for (int job = 0; job < 3 && !all<session_effect::Compute>().empty(); ++job) compute();
  for (const wire::PushEntry& entry : pushes_[UnitId(0)]) {
    nodes.emplace_back(entry.node_low, entry.node_high);
  }

  EXPECT_EQ(nodes, (std::vector<std::pair<uint32_t, uint32_t>>{{0, 1}, {1, 2}, {3, 4}}));
  answer_pushes(wire::ReplyCode::kClosed, 1);
  compute();
  ASSERT_EQ(pushes_[UnitId(0)].size(), 2u);
  EXPECT_EQ(pushes_[UnitId(0)][0].node_high, 2u) << "lanes 0 and 1 travel as their sum";
  EXPECT_EQ(pushes_[UnitId(0)][0].lanes.size(), 2u);
}

TEST_F(SessionTest, ReportsWhatTheLoaderSaidLast) {
  start(Mode::kSync);
  handle(session_event::ComputeDone{.job = 1, .loader = {5, 2, 90, 6, 12}});

  const wire::LoaderProgress loader = session_->progress(now_).loader;

  EXPECT_EQ(loader.ready, 5u);
  EXPECT_EQ(loader.blocks_min, 12u);
}

TEST_F(SessionTest, NamesTheRowsOfEachLaneItPushes) {
  start(Mode::kSync);
  hear(wire::Assign{1, {{LaneId(0), 1, 1, 0}, {LaneId(1), 1, 1, 0}}, 0});
  bring_weights(0);

  compute();

  for (const auto& [unit, entries] : pushes_) {
    ASSERT_EQ(entries.size(), 1u);
    for (const wire::LaneStamp& stamp : entries[0].lanes) {
      EXPECT_EQ(stamp.rows_hash, hash_of(stamp.lane, 0)) << "unit " << unit.value();
    }
  }
}

TEST_F(SessionTest, BeginsItsFirstStepWithAllLanesOfAnAssignment) {
  start(Mode::kSync);
  hear(wire::Assign{1, {{LaneId(0), 1, 1, 0}, {LaneId(1), 1, 1, 0}}, 0});
  bring_weights(0);

  compute();

  ASSERT_EQ(pushes_[UnitId(0)].size(), 1u);
  EXPECT_EQ(pushes_[UnitId(0)][0].node_high, 2u) << "lanes 0 and 1 travel as their sum";
}

TEST_F(SessionTest, GoesOnOnlyWhenEveryPushIsAnswered) {
  start(Mode::kSync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const uint64_t second = pushes_.at(UnitId(1)).at(0).sequence;
  reply(pushes_.at(UnitId(0)).at(0).sequence, 0, wire::ReplyCode::kClosed, 1);
  EXPECT_EQ(lane(0).clock, 0u);

  reply(second, 1, wire::ReplyCode::kClosed, 1);

  EXPECT_EQ(lane(0).clock, 1u);
  EXPECT_EQ(all<session_effect::Compute>().at(0).clock, 1u) << "the replies brought the weights";
}

TEST_F(SessionTest, StartsAnAdoptedLaneThatIsNotAheadAtOnce) {
  start(Mode::kSync);
  assign(0, 1);
  bring_weights(1);
  compute();  // its pushes wait for the others, perhaps for the lane that comes now

  assign(1, 0);

  EXPECT_EQ(session_->tasks_in_flight(), 2u);
  EXPECT_EQ(pulls_.at(UnitId(0)).clock, 0u);
}

TEST_F(SessionTest, LeavesAnAdoptedLaneThatIsAheadForLater) {
  start(Mode::kSync);
  assign(0, 0);

  assign(1, 1);

  EXPECT_EQ(session_->tasks_in_flight(), 1u);
}

TEST_F(SessionTest, PassesAStepThatIsWholeInEveryUnit) {
  start(Mode::kSync);
  assign(0, 0);

  reply(pulls_.at(UnitId(0)).sequence, 0, wire::ReplyCode::kPassed, 0);

  EXPECT_EQ(lane(0).clock, 1u);
  EXPECT_TRUE(pushes_.empty());
}

TEST_F(SessionTest, ComputesAloneWhatASplitLeavesOver) {
  start(Mode::kAsync);
  assign(0, 0);
  assign(1, 1);
  bring_weights(5);
  compute();
  answer_pushes(wire::ReplyCode::kApplied, 6);
  compute();  // both lanes at clock 1, in one push a unit
  const wire::PushEntry both = pushes_.at(UnitId(0)).at(0);
  ASSERT_EQ(both.lanes.size(), 2u);
  pushes_.clear();

  reply(both.sequence, 0, wire::ReplyCode::kSplit, 8, 0, {LaneId(1)});

  ASSERT_EQ(all<session_effect::Compute>().size(), 1u);
  EXPECT_EQ(all<session_effect::Compute>()[0].groups.at(0).lanes, std::vector<LaneId>{LaneId(1)});
  compute();
  ASSERT_EQ(pushes_.size(), 1u) << "unit 1 still has its push";
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).lanes.size(), 1u);
}

TEST_F(SessionTest, NamesTheVersionItsGradientComesFrom) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(41);

  compute();

  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).base_version, 41u);
  EXPECT_EQ(pushes_.at(UnitId(0)).at(0).lanes.at(0).weight, 2);
}

TEST_F(SessionTest, ReadsAgainWhenWhatItHasIsTooOldForItsClock) {
  start(Mode::kSsp);  // staleness 1
  assign(0, 0);
  bring_weights(0, /*least_clock=*/0);
  compute();
  answer_pushes(wire::ReplyCode::kApplied, 1, /*least_clock=*/0);
  compute();  // clock 1: may lead by one

  answer_pushes(wire::ReplyCode::kApplied, 2, /*least_clock=*/0);

  EXPECT_TRUE(all<session_effect::Compute>().empty());
  EXPECT_EQ(pulls_.at(UnitId(0)).clock, 2u);
  bring_weights(5, /*least_clock=*/1);
  EXPECT_EQ(all<session_effect::Compute>().at(0).clock, 2u);
}

TEST_F(SessionTest, DropsALaneThatAShardCallsFenced) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();

  reply(pushes_.at(UnitId(0)).at(0).sequence, 0, wire::ReplyCode::kFenced, 0, 0, {},
        {{LaneId(0), 2}});

  EXPECT_TRUE(session_->progress(now_).lanes.empty());
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
  EXPECT_EQ(session_->client().in_flight_count(), 0u);
}

TEST_F(SessionTest, KeepsALaneItWasGivenAgainUnderThatFence) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);
  compute();
  const uint64_t old_push = pushes_.at(UnitId(0)).at(0).sequence;
  assign(0, 0, /*number=*/2, /*fence=*/2);

  reply(old_push, 0, wire::ReplyCode::kFenced, 0, 0, {}, {{LaneId(0), 2}});

  EXPECT_EQ(lane(0).fence, 2u);
}

TEST_F(SessionTest, IgnoresAnOlderAssignment) {
  start(Mode::kAsync);
  assign(0, 3, /*number=*/5, /*fence=*/2);

  assign(0, 0, /*number=*/4, /*fence=*/1);

  EXPECT_EQ(lane(0).clock, 3u);
  EXPECT_EQ(said<wire::Assigned>()->number, 4u) << "so that nobody repeats it";
}

TEST_F(SessionTest, IgnoresOrdersOfAnEarlierLeader) {
  start(Mode::kAsync);
  hear(wire::BeatAnswer{7, 0, 1});

  assign(0, 0);

  EXPECT_TRUE(session_->progress(now_).lanes.empty());
}

TEST_F(SessionTest, JoinsAgainWhenTheCoordinatorWasRestarted) {
  start(Mode::kAsync);

  hear(wire::BeatAnswer{2, 0, 1});

  EXPECT_TRUE(said<wire::Join>().has_value());
}

TEST_F(SessionTest, HandsALaneOverWhereItReallyStops) {
  start(Mode::kAsync);
  assign(0, 2);
  bring_weights(0);
  compute();

  hear(wire::Handover{1, LaneId(0), 1, 1, /*clock=*/1, 0});

  ASSERT_TRUE(said<wire::Handing>().has_value());
  EXPECT_EQ(said<wire::Handing>()->clock, 3u) << "step 2 is in flight";
  EXPECT_FALSE(said<wire::Handing>()->done);
  const auto pushes = pushes_;
  reply(pushes.at(UnitId(0)).at(0).sequence, 0, wire::ReplyCode::kApplied, 1);
  reply(pushes.at(UnitId(1)).at(0).sequence, 1, wire::ReplyCode::kApplied, 1);
  ASSERT_TRUE(said<wire::Handing>().has_value());
  EXPECT_TRUE(said<wire::Handing>()->done);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
}

TEST_F(SessionTest, StandsStillWhenPausedAndGoesOnToTheClockOfTheStop) {
  start(Mode::kSync);
  assign(0, 0);
  bring_weights(0);
  compute();
  hear(wire::Pause{1});
  ASSERT_TRUE(said<wire::Paused>().has_value());
  EXPECT_TRUE(said<wire::Paused>()->lanes.at(0).busy);
  answer_pushes(wire::ReplyCode::kClosed, 1);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);

  hear(wire::StopAt{1, 2});
  compute();
  answer_pushes(wire::ReplyCode::kClosed, 2);

  EXPECT_EQ(lane(0).clock, 2u);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);
}

TEST_F(SessionTest, ReportsALaneWithoutRowsLeftOnceItsLastPushIsAnswered) {
  start(Mode::kAsync);
  assign(0, 3);
  bring_weights(0);
  compute();
  EXPECT_TRUE(lane(0).busy);

  answer_pushes(wire::ReplyCode::kApplied, 1);

  EXPECT_EQ(lane(0).clock, kNever);
  EXPECT_FALSE(lane(0).busy);
  EXPECT_TRUE(said<wire::WorkerProgress>().has_value()) << "at once";
}

TEST_F(SessionTest, EvaluatesInSyncBeforeItPushesFromTheVersion) {
  JobConfig job = small_job(Mode::kSync);
  job.resolved.test_rows = 8;
  start(job);
  assign(0, 2);  // the first step of epoch 1: epoch 0 is over

  bring_weights(2);

  const auto slices = all<session_effect::EvaluateSlices>();
  ASSERT_EQ(slices.size(), 1u);
  EXPECT_EQ(slices[0].lanes, std::vector<LaneId>{LaneId(0)});
  handle(session_event::EvaluationDone{slices[0].job, {{LaneId(0), {}}}, 0.1});
  ASSERT_TRUE(said<wire::EvalPart>().has_value());
  EXPECT_EQ(said<wire::EvalPart>()->evaluation, 1u);
  EXPECT_EQ(all<session_effect::Compute>().size(), 1u);
}

TEST_F(SessionTest, RepeatsAnEvaluationPartUntilItIsAcknowledged) {
  JobConfig job = small_job(Mode::kSync);
  job.resolved.test_rows = 8;
  start(job);
  assign(0, 2);
  bring_weights(2);
  const auto slices = all<session_effect::EvaluateSlices>();
  handle(session_event::EvaluationDone{slices.at(0).job, {{LaneId(0), {}}}, 0.1});

  now_ += 10s;
  handle(session_event::Tick{});
  EXPECT_TRUE(said<wire::EvalPart>().has_value());
  hear(wire::EvalAck{1, 1, LaneId(0)});
  now_ += 10s;
  handle(session_event::Tick{});

  EXPECT_FALSE(said<wire::EvalPart>().has_value());
}

TEST_F(SessionTest, EvaluatesASnapshotAgainWhenItWasLostWithItsShard) {
  JobConfig job = small_job(Mode::kAsync);
  job.resolved.test_rows = 8;
  start(job);
  hear(wire::Evaluate{1, 1, {LaneId(2)}});
  ASSERT_EQ(pulls_.at(UnitId(0)).snapshot, 1u);
  reply(pulls_.at(UnitId(0)).sequence, 0, wire::ReplyCode::kPassed, 0);
  EXPECT_EQ(session_->tasks_in_flight(), 0u);

  hear(wire::Evaluate{1, 1, {LaneId(2)}});
  bring_weights(0);

  EXPECT_EQ(all<session_effect::EvaluateSlices>().size(), 1u);
}

// Lets time pass in ticks as the session asks for them -> its failure, if any.
std::optional<Status> SessionTest::wait(Duration duration, const std::function<void()>& each) {
  for (const Time end = now_ + duration; now_ < end;) {
    now_ += 100ms;
    handle(session_event::Tick{});
    if (const auto fails = all<session_effect::Fail>(); !fails.empty()) return fails[0].status;
    if (each) each();
  }
  return std::nullopt;
}

TEST_F(SessionTest, EndsWhenNothingGetsOnAndTheCoordinatorIsSilentToo) {
  start(Mode::kSync);  // stuck_after_ms = 60000
  assign(0, 0);
  bring_weights(0);
  compute();
  EXPECT_FALSE(wait(59s));

  const std::optional<Status> failure = wait(2s);

  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), Code::kDeadline);
  EXPECT_NE(failure->to_string().find("shard 0: push of unit 0 at clock 0, for 60.0 s"),
            std::string::npos)
      << failure->to_string();
  EXPECT_FALSE(wait(60s)) << "said once";
}

TEST_F(SessionTest, DoesWithoutACoordinatorAsLongAsItGetsOn) {
  JobConfig job = small_job(Mode::kAsync);
  job.train.epochs = 1000;
  start(job);
  assign(0, 0);
  bring_weights(0);

  for (Version version = 1; version < 10; ++version) {
    compute();
    const auto pushes = pushes_;
    EXPECT_FALSE(wait(45s));
    pushes_ = pushes;  // not those sent again
    answer_pushes(wire::ReplyCode::kApplied, version);
  }
}

TEST_F(SessionTest, WaitsForAsLongAsTheCoordinatorSaysSo) {
  start(Mode::kSync);
  assign(0, 0);

  EXPECT_FALSE(wait(300s, [&] { hear(wire::BeatAnswer{1, 0, 1}); }));
}

TEST_F(SessionTest, DoesNotEndAComputationThatTakesLong) {
  start(Mode::kAsync);
  assign(0, 0);
  bring_weights(0);

  EXPECT_FALSE(wait(300s));
}

TEST_F(SessionTest, DoesNotTakeItsOwnStandingStillForSilence) {
  start(Mode::kAsync);

  now_ += 300s;
  handle(session_event::Tick{});

  EXPECT_TRUE(all<session_effect::Fail>().empty());
}

TEST_F(SessionTest, EndsWhenNoCoordinatorEverWelcomesIt) {
  SessionConfig config;
  config.job = small_job(Mode::kSync);  // join_deadline_ms = 30000
  session_ = std::make_unique<WorkerSession>(config);
  session_->start(now_, out_);
  EXPECT_FALSE(wait(29s));

  const std::optional<Status> failure = wait(2s);

  ASSERT_TRUE(failure);
  EXPECT_NE(failure->to_string().find("waiting for a welcome"), std::string::npos);
}

TEST_F(SessionTest, WantsToBeWokenOnceAnEventAndNotInThePast) {
  start(Mode::kAsync);

  assign(0, 0);

  const auto wakes = all<session_effect::WakeAt>();
  ASSERT_EQ(wakes.size(), 1u);
  now_ = wakes[0].time;
  handle(session_event::Tick{});
  EXPECT_GT(all<session_effect::WakeAt>().at(0).time, now_);
}

TEST_F(SessionTest, TakesOrdersFromTheCoordinatorOnly) {
  start(Mode::kAsync);

  hear_from({Role::kWorker, 1, 1}, wire::End{1, wire::EndKind::kDone});

  EXPECT_TRUE(all<session_effect::End>().empty());
}

TEST_F(SessionTest, EndsOnce) {
  start(Mode::kAsync);

  hear(wire::End{1, wire::EndKind::kDone});
  EXPECT_EQ(all<session_effect::End>().size(), 1u);
  EXPECT_TRUE(said<wire::WorkerProgress>().has_value()) << "the last figures";

  hear(wire::End{1, wire::EndKind::kDone});
  EXPECT_TRUE(all<session_effect::End>().empty());
}

TEST_F(SessionTest, FailsWithTheReasonOfTheComputingSide) {
  start(Mode::kAsync);

  handle(session_event::ComputeFailed{Status(Code::kInvalidInput, "loss is NaN")});

  ASSERT_EQ(all<session_effect::Fail>().size(), 1u);
  EXPECT_EQ(all<session_effect::Fail>()[0].status.code(), Code::kInvalidInput);
}

}  // namespace
}  // namespace ballast
