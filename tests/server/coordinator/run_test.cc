// Whole jobs with a real coordinator and imitated shards and workers: what a user is promised.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/coordinator/fake_cluster.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class EveryMode : public ::testing::TestWithParam<Mode> {
 protected:
  static ClusterOptions options() {
    ClusterOptions options;
    options.mode = GetParam();
    return options;
  }
};

std::string mode_name(const ::testing::TestParamInfo<Mode>& info) {
  return info.param == Mode::kSync ? "Sync" : info.param == Mode::kSsp ? "Ssp" : "Async";
}
INSTANTIATE_TEST_SUITE_P(Modes, EveryMode, ::testing::Values(Mode::kSync, Mode::kSsp, Mode::kAsync),
                         mode_name);

void expect_done(const FakeCluster& cluster) {
  ASSERT_EQ(cluster.violation(), "") << cluster.all_notes();
  ASSERT_TRUE(cluster.finished()) << cluster.status().waiting_for << "\n" << cluster.all_notes();
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kDone) << cluster.finish().status.to_string();
  EXPECT_TRUE(cluster.whole());
  EXPECT_GE(*cluster.committed().rbegin(), cluster.schedule().steps());
}

bool half_way(const FakeCluster& cluster) {
  return cluster.coordinator_up() && cluster.status().step >= cluster.schedule().steps() / 2;
}

// ---------------------------------------------------------------- the undisturbed job

TEST_P(EveryMode, EndsWithEveryStepInEveryUnitAndAFinalCheckpoint) {
  FakeCluster cluster(options());

  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(*cluster.committed().rbegin(), cluster.schedule().steps());
  ASSERT_TRUE(cluster.rows().contains(3));
  EXPECT_TRUE(cluster.rows().at(3).final);
  EXPECT_TRUE(cluster.rows().at(3).missing.empty());
  EXPECT_EQ(cluster.rows().at(3).test.rows, 10u + 11 + 12 + 13);
  EXPECT_DOUBLE_EQ(cluster.rows().at(3).train_loss, 0.5);
}

TEST_P(EveryMode, WritesNoRowWithoutATestSet) {
  ClusterOptions wanted = options();
  wanted.test_set = false;
  FakeCluster cluster(wanted);

  cluster.run();

  expect_done(cluster);
  EXPECT_TRUE(cluster.rows().empty());
}

TEST_P(EveryMode, CommitsACheckpointAtEveryMultipleOfTheSteps) {
  FakeCluster cluster(options());

  cluster.run();

  expect_done(cluster);
  EXPECT_TRUE(cluster.committed().contains(4));
  EXPECT_TRUE(cluster.committed().contains(8));
}

TEST_P(EveryMode, SurvivesLossRepetitionAndReordering) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    ClusterOptions wanted = options();
    wanted.seed = seed;
    wanted.loss = 0.1;
    wanted.repeat = 0.1;
    wanted.reorder = true;
    FakeCluster cluster(wanted);

    cluster.run();

    expect_done(cluster);
  }
}

TEST(Run, GivesTheSameEffectsForTheSameEvents) {
  ClusterOptions wanted;
  wanted.loss = 0.1;
  wanted.reorder = true;
  FakeCluster one(wanted);
  FakeCluster two(wanted);

  one.run();
  two.run();

  EXPECT_EQ(one.calls(), two.calls());
  EXPECT_EQ(one.all_notes(), two.all_notes());
}

// ---------------------------------------------------------------- start-up

TEST(StartUp, NamesExactlyWhoIsMissingWhenTheDeadlinePasses) {
  FakeCluster cluster(ClusterOptions{});
  cluster.crash_worker(1, false);
  cluster.crash_shard(0, false);

  cluster.run(10s);

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kFailed);
  EXPECT_EQ(cluster.finish().status.code(), Code::kDeadline);
  EXPECT_THAT(cluster.finish().status.to_string(),
              AllOf(HasSubstr("shard 0 has not joined (3.0 s)"),
                    HasSubstr("worker 1 has not joined (3.0 s)"),
                    ::testing::Not(HasSubstr("worker 0")), ::testing::Not(HasSubstr("shard 1"))));
}

TEST(StartUp, SaysWhoIsMissingBeforeTheDeadline) {
  FakeCluster cluster(ClusterOptions{});
  cluster.crash_worker(1, false);

  cluster.run(1s);

  EXPECT_EQ(cluster.status().state, JobState::kJoining);
  EXPECT_THAT(cluster.status().waiting_for, HasSubstr("worker 1 has not joined"));
}

TEST(StartUp, GivesNoLaneBeforeEverybodyHasJoined) {
  FakeCluster cluster(ClusterOptions{});
  cluster.crash_worker(1, false);

  cluster.run(1s);
  EXPECT_EQ(cluster.sent("Assign"), 0u);
  cluster.start_worker(1);
  cluster.run();

  expect_done(cluster);
}

TEST(StartUp, LoadsAShardAgainThatIsRestartedBeforeTheFirstStep) {
  FakeCluster cluster(ClusterOptions{});
  cluster.crash_worker(1, false);
  cluster.run(200ms);
  cluster.crash_shard(0, true);
  cluster.run(300ms);

  cluster.start_shard(0, false);
  cluster.start_worker(1);
  cluster.run();

  expect_done(cluster);
}

TEST(StartUp, RefusesAnotherJobInOneLineThatSaysWhatToDo) {
  FakeCluster cluster(ClusterOptions{});
  wire::Join join;
  join.index = 0;
  join.incarnation = 1;
  join.job_hash = "other";

  cluster.deliver_to_coordinator({Role::kWorker, 0, 1}, join);

  EXPECT_EQ(cluster.sent("Refused"), 1u);
  EXPECT_EQ(cluster.sent("Welcome"), 0u);
  EXPECT_THAT(cluster.all_notes(), AllOf(HasSubstr("other"), HasSubstr("expected hash")));
}

TEST(StartUp, RefusesAnotherRunOfTheSameJobAndKeepsItsOwnWorker) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  wire::Join join;
  join.incarnation = 1'000'000;  // started later, so higher than that of our worker 0
  join.job_hash = cluster.setup().job_hash;
  join.run = "0000000000000002";

  cluster.deliver_to_coordinator({Role::kWorker, 0, join.incarnation}, join);
  EXPECT_EQ(cluster.sent("Refused"), 1u);
  cluster.run();

  expect_done(cluster);
  EXPECT_THAT(cluster.all_notes(), HasSubstr("worker 0 is of run 0000000000000002 of this job"));
  EXPECT_EQ(cluster.status().totals.restarts, 0u);
  // Also after the end: it must not take our end for its own.
  cluster.deliver_to_coordinator({Role::kWorker, 0, join.incarnation}, join);
  EXPECT_EQ(cluster.sent("Refused"), 2u);
}

TEST(StartUp, TellsAnOldLifeThatItIsDisplacedAsOftenAsItSpeaks) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  const Peer old_life{Role::kWorker, 0, cluster.status().workers[0].incarnation};
  cluster.start_worker(0);  // while the old life goes on elsewhere
  ASSERT_TRUE(cluster.run_until([&](const FakeCluster& c) {
    return c.status().workers[0].incarnation > old_life.incarnation;
  }));
  EXPECT_EQ(cluster.sent("Refused"), 1u);

  wire::WorkerProgress progress;
  progress.worker = WorkerId(0);
  progress.incarnation = old_life.incarnation;
  cluster.deliver_to_coordinator(old_life, progress);
  EXPECT_EQ(cluster.sent("Refused"), 2u);
  cluster.run();

  expect_done(cluster);
}

// A tool asks where the units are, again and again, from before the first step to the end.
TEST_P(EveryMode, TellsAToolTheViewWithoutCountingItAsAWorker) {
  FakeCluster cluster(options());
  const Peer tool{Role::kTool, 0, 777};
  wire::Join join;
  join.role = Role::kTool;
  join.incarnation = tool.incarnation;
  join.job_hash = cluster.setup().job_hash;

  cluster.deliver_to_coordinator(tool, join);
  EXPECT_EQ(cluster.sent("Welcome"), 1u);
  EXPECT_EQ(cluster.sent("View"), 0u) << "nothing to read before the start";
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& c) { return c.status().step >= 3; }));
  const uint64_t views = cluster.sent("View");
  cluster.deliver_to_coordinator(tool, join);
  EXPECT_EQ(cluster.sent("View"), views + 1);
  cluster.event(PeerLost{tool});
  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(cluster.status().workers.size(), 2u);
  EXPECT_EQ(cluster.status().totals.restarts, 0u);
}

TEST_P(EveryMode, ResumesFromACheckpoint) {
  ClusterOptions wanted = options();
  FakeCluster cluster(wanted);
  cluster.resume = ResumePoint{7, "runs/x/checkpoints", 7, wanted.mode};
  cluster.crash_coordinator();
  cluster.start_coordinator();

  cluster.run();

  expect_done(cluster);
  EXPECT_FALSE(cluster.committed().contains(4));
  EXPECT_FALSE(cluster.rows().contains(1));  // evaluated by whoever wrote the checkpoint
  EXPECT_TRUE(cluster.rows().contains(2));
}

// ---------------------------------------------------------------- workers that go and come

TEST_P(EveryMode, GoesOnWithoutAWorkerThatDies) {
  for (const bool told : {true, false}) {
    SCOPED_TRACE(told);
    FakeCluster cluster(options());
    ASSERT_TRUE(cluster.run_until(half_way));

    cluster.crash_worker(1, told);
    cluster.run();

    expect_done(cluster);
    EXPECT_EQ(cluster.status().totals.fences_raised, 2u);
    EXPECT_EQ(cluster.lanes_of_worker(0), 4u);
    EXPECT_THAT(cluster.all_notes(), HasSubstr("worker 1 (host here, process 201) is given up"));
  }
}

TEST_P(EveryMode, KeepsARestartedWorkerAsASpareAndCountsTheRestart) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.crash_worker(1, true);
  cluster.start_worker(1);
  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(cluster.status().totals.restarts, 1u);
}

TEST_P(EveryMode, GivesTheLanesToASpareWhenTheOnlyOtherWorkerDies) {
  ClusterOptions wanted = options();
  wanted.workers = 1;
  FakeCluster cluster(wanted);
  cluster.start_worker(1);
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.crash_worker(0, true);
  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(cluster.lanes_of_worker(1), 4u);
}

TEST_P(EveryMode, TakesBackAWorkerThatWasOnlySilent) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.cut_off_worker(1, true);
  cluster.run(800ms);
  cluster.cut_off_worker(1, false);
  cluster.run();

  expect_done(cluster);
}

TEST_P(EveryMode, WaitsForAWorkerAndSaysSoThenFails) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until(half_way));
  cluster.crash_worker(0, true);
  cluster.crash_worker(1, true);

  cluster.run(1s);
  EXPECT_THAT(cluster.status().waiting_for, HasSubstr("none is left"));
  cluster.run();

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kFailed);
  EXPECT_THAT(cluster.finish().status.to_string(),
              AllOf(HasSubstr("no worker is left"), HasSubstr("ballast run --resume runs/x")));
}

TEST(Run, NamesAWorkerThatAnswersButDoesNotGetOn) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  const Time end = cluster.now() + 6s;
  wire::WorkerProgress progress;
  progress.worker = WorkerId(0);
  progress.incarnation = 1;
  progress.beat = 7;
  cluster.cut_off_worker(0, true);

  while (cluster.now() < end) {
    cluster.deliver_to_coordinator({Role::kWorker, 0, 1}, progress);
    cluster.turn();
  }

  EXPECT_THAT(cluster.all_notes(),
              HasSubstr("worker 0 (host here, process 200) answers but has made no progress"));
  EXPECT_GT(cluster.status().workers[0].stuck_seconds, 4);
  EXPECT_FALSE(cluster.finished());
}

// ---------------------------------------------------------------- shards that go and come

TEST_P(EveryMode, FailsWhenAShardDiesWhoseUnitsWereInMemoryOnly) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& it) { return it.committed().contains(4); }));

  cluster.crash_shard(1, true);
  const Time then = cluster.now();
  cluster.run();

  ASSERT_TRUE(cluster.finished());
  EXPECT_LE(cluster.now() - then, 200ms);
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kFailed);
  EXPECT_THAT(cluster.finish().status.to_string(),
              AllOf(HasSubstr("shard 1 (host here, process 101) is lost"), HasSubstr("version"),
                    HasSubstr("resume from checkpoint"), HasSubstr("ballast run --resume runs/x")));
}

// Its beats may be lost for a while, so that only the connection shows that it lives.
TEST_P(EveryMode, HasItsWholePatienceWithAShardWhoseConnectionStandsAgain) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& c) { return c.status().step >= 3; }));
  const Patience patience = patience_of(cluster.setup().config.cluster);
  const Time broken = cluster.now();

  cluster.crash_shard(0, true);
  cluster.event(PeerBack{{Role::kServer, 0, 1}});
  cluster.run();

  ASSERT_TRUE(cluster.finished());
  EXPECT_GE(cluster.now() - broken, patience.dead);
}

TEST_P(EveryMode, LoadsAShardFromItsJournalAndGoesOn) {
  for (const Duration away : {20ms, 1000ms}) {
    ClusterOptions wanted = options();
    wanted.durability = Durability::kProcess;
    FakeCluster cluster(wanted);
    ASSERT_TRUE(cluster.run_until(half_way));

    cluster.crash_shard(1, true);
    cluster.run(away);
    cluster.start_shard(1, true);
    cluster.run();

    expect_done(cluster);
    EXPECT_GE(cluster.status().view, 2u);
  }
}

TEST_P(EveryMode, FailsWhenAShardComesBackWithoutItsUnits) {
  ClusterOptions wanted = options();
  wanted.durability = Durability::kProcess;
  FakeCluster cluster(wanted);
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.crash_shard(1, true);
  cluster.start_shard(1, false);
  cluster.run(10s);

  ASSERT_TRUE(cluster.finished());
  EXPECT_THAT(cluster.finish().status.to_string(), HasSubstr("started again without its units"));
}

TEST_P(EveryMode, FailsWhenAShardDoesNotComeBackInTime) {
  ClusterOptions wanted = options();
  wanted.durability = Durability::kProcess;
  FakeCluster cluster(wanted);
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.crash_shard(1, true);
  cluster.run(1s);
  EXPECT_THAT(cluster.status().waiting_for, HasSubstr("shard 1"));
  cluster.run(10s);

  ASSERT_TRUE(cluster.finished());
  EXPECT_THAT(cluster.finish().status.to_string(), HasSubstr("has not come back for 3.0 s"));
}

TEST_P(EveryMode, SurvivesAWorkerAndAShardDyingTogether) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    ClusterOptions wanted = options();
    wanted.durability = Durability::kProcess;
    wanted.seed = seed;
    wanted.workers = 3;
    FakeCluster cluster(wanted);
    ASSERT_TRUE(cluster.run_until(half_way));

    cluster.crash_worker(static_cast<uint32_t>(seed % 3), true);
    cluster.run(Duration(10ms) * static_cast<int64_t>(seed));
    cluster.crash_shard(static_cast<uint32_t>(seed % 2), true);
    cluster.run(30ms);
    cluster.start_shard(static_cast<uint32_t>(seed % 2), true);
    cluster.run();

    expect_done(cluster);
  }
}

// ---------------------------------------------------------------- planned moves

TEST_P(EveryMode, MovesALaneAsPlanned) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& it) { return it.status().step >= 2; }));

  cluster.event(MoveLane{LaneId(0), WorkerId(1)});
  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(cluster.status().totals.lane_moves, 1u);
  EXPECT_EQ(cluster.status().totals.fences_raised, 0u);
  EXPECT_EQ(cluster.status().workers[1].lanes.size(), 3u);
}

TEST_P(EveryMode, FencesALaneWhenEitherSideOfItsMoveDies) {
  for (uint32_t dies = 0; dies < 2; ++dies) {
    for (int turns = 0; turns < 30; turns += 3) {
      SCOPED_TRACE(::testing::Message() << "worker " << dies << " after " << turns << " turns");
      FakeCluster cluster(options());
      ASSERT_TRUE(cluster.run_until([](const FakeCluster& it) { return it.status().step >= 2; }));

      cluster.event(MoveLane{LaneId(0), WorkerId(1)});
      for (int i = 0; i < turns; ++i) cluster.turn();
      cluster.crash_worker(dies, true);
      cluster.run();

      expect_done(cluster);
    }
  }
}

TEST(Run, IgnoresAMoveToNobody) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.event(MoveLane{LaneId(0), WorkerId(3)});
  cluster.event(MoveLane{LaneId(99), WorkerId(0)});
  cluster.event(MoveLane{LaneId(0), WorkerId(99)});

  EXPECT_EQ(cluster.status().totals.lane_moves, 0u);
  EXPECT_EQ(cluster.sent("Handover"), 0u);
}

TEST(Run, MovesLanesFromTheSlowToTheFastWorkerInAsync) {
  ClusterOptions wanted;
  wanted.mode = Mode::kAsync;
  wanted.lanes = 16;
  wanted.batch = 64;
  wanted.rows = 64 * 400;
  wanted.slow = {0, 3};
  FakeCluster cluster(wanted);

  ASSERT_TRUE(cluster.run_until([](const FakeCluster& it) { return half_way(it); }, 200s));

  // A quarter of the speed: a fifth of the lanes is 3.2 of 16.
  EXPECT_GE(cluster.lanes_of_worker(0), 12u);
  EXPECT_GE(cluster.lanes_of_worker(1), 2u);
  EXPECT_LE(cluster.status().totals.lane_moves, 8u);
}

TEST(Run, MovesNoLaneByItselfInSync) {
  ClusterOptions wanted;
  wanted.rows = 37 * 20;
  wanted.slow = {0, 3};
  FakeCluster cluster(wanted);

  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(cluster.status().totals.lane_moves, 0u);
}

// ---------------------------------------------------------------- the stop

TEST_P(EveryMode, StopsOnRequestWithACheckpoint) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until(half_way));
  const Clock then = cluster.status().step;

  cluster.event(StopRequested{});
  cluster.run();

  ASSERT_TRUE(cluster.finished()) << cluster.status().waiting_for;
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kStopped);
  EXPECT_TRUE(cluster.finish().status.ok());
  EXPECT_GE(*cluster.committed().rbegin(), then);
  EXPECT_FALSE(cluster.whole());
  EXPECT_EQ(cluster.violation(), "");
}

TEST(Stop, BringsEveryUnitToTheSameVersionInSync) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    ClusterOptions wanted;
    wanted.seed = seed;
    wanted.checkpoint_every = 0;
    FakeCluster cluster(wanted);
    ASSERT_TRUE(cluster.run_until(half_way));

    cluster.event(StopRequested{});
    cluster.run();

    ASSERT_TRUE(cluster.finished());
    ASSERT_EQ(cluster.committed().size(), 1u);
    for (uint32_t u = 0; u < wanted.units; ++u) {
      EXPECT_EQ(cluster.version_of(u), *cluster.committed().begin()) << "seed " << seed;
    }
  }
}

TEST(Stop, BeforeTheFirstLaneIsGivenWritesNothing) {
  FakeCluster cluster(ClusterOptions{});
  cluster.crash_worker(1, false);
  cluster.run(200ms);

  cluster.event(StopRequested{});

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kStopped);
  EXPECT_TRUE(cluster.committed().empty());
}

TEST_P(EveryMode, StopsAlsoWhenAWorkerDiesMeanwhile) {
  for (int turns = 0; turns < 24; turns += 2) {
    SCOPED_TRACE(turns);
    FakeCluster cluster(options());
    ASSERT_TRUE(cluster.run_until(half_way));

    cluster.event(StopRequested{});
    for (int i = 0; i < turns; ++i) cluster.turn();
    cluster.crash_worker(1, true);
    cluster.run();

    ASSERT_TRUE(cluster.finished()) << cluster.status().waiting_for;
    EXPECT_EQ(cluster.finish().kind, wire::EndKind::kStopped)
        << cluster.finish().status.to_string();
    EXPECT_EQ(cluster.violation(), "");
  }
}

TEST_P(EveryMode, GivesUpAStopThatStandsStillAndSaysWhoHeldIt) {
  ClusterOptions wanted = options();
  wanted.durability = Durability::kProcess;
  FakeCluster cluster(wanted);
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.crash_worker(0, true);
  cluster.crash_worker(1, true);
  cluster.event(StopRequested{});
  cluster.run();

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kFailed);
}

// ---------------------------------------------------------------- failures that are told

TEST_P(EveryMode, EndsTheJobWhenAProcessReportsThatItFailed) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until(half_way));
  wire::Failed failed{Role::kWorker, 1, Code::kInvalidInput, {"loss is nan", "in step 7"}};

  cluster.deliver_to_coordinator({Role::kWorker, 1, 1}, failed);

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kFailed);
  EXPECT_EQ(cluster.finish().status.code(), Code::kInvalidInput);
  EXPECT_THAT(cluster.finish().status.to_string(),
              AllOf(HasSubstr("loss is nan; in step 7"), HasSubstr("reported by worker 1")));
  EXPECT_EQ(cluster.sent("End"), 4u);
}

TEST(Failure, OfAnOldLifeIsIgnored) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  cluster.crash_worker(1, true);
  cluster.start_worker(1);
  ASSERT_TRUE(cluster.run_until(
      [](const FakeCluster& it) { return it.status().workers[1].incarnation == 2; }));

  cluster.deliver_to_coordinator({Role::kWorker, 1, 1},
                                 wire::Failed{Role::kWorker, 1, Code::kInternal, {"late"}});

  EXPECT_FALSE(cluster.finished());
}

// Somebody who was never let in: a refused worker says Failed before it ends.
TEST(Failure, OfAStrangerIsIgnored) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  const wire::Failed worker{Role::kWorker, 0, Code::kInvalidInput, {"refused"}};
  const wire::Failed shard{Role::kServer, 0, Code::kInvalidInput, {"refused"}};
  const wire::Failed tool{Role::kTool, 0, Code::kInvalidInput, {"refused"}};

  cluster.deliver_to_coordinator({Role::kWorker, 0, 4711}, worker);
  cluster.deliver_to_coordinator({Role::kWorker, 99, 1}, worker);
  cluster.deliver_to_coordinator({Role::kServer, 0, 4711}, shard);
  cluster.deliver_to_coordinator({Role::kServer, 99, 1}, shard);
  cluster.deliver_to_coordinator({Role::kTool, 0, 1}, tool);
  cluster.run();

  expect_done(cluster);
}

TEST_P(EveryMode, TellsEverybodyWhenItsOwnFilesCannotBeWritten) {
  FakeCluster cluster(options());
  ASSERT_TRUE(cluster.run_until(half_way));

  cluster.event(StoreLost{Status(Code::kExhausted, "cannot write status.json: disk full")});

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kFailed);
  EXPECT_EQ(cluster.finish().status.code(), Code::kExhausted);
  EXPECT_THAT(cluster.finish().status.to_string(),
              AllOf(HasSubstr("status.json: disk full"), HasSubstr("resume from checkpoint")));
  EXPECT_EQ(cluster.sent("End"), 4u) << "two shards, two workers";
  ASSERT_TRUE(cluster.last_end());
  EXPECT_THAT(cluster.last_end()->reason, HasSubstr("status.json: disk full"));
}

// What a part says of its file becomes a path of the manifest.
TEST(Checkpoint, TakesNoPartWhoseFileIsNotTheShardsOwn) {
  for (const char* file : {"../../etc/passwd", "/tmp/part-0.blp", "..", "", "part-1.blp"}) {
    SCOPED_TRACE(file);
    FakeCluster cluster(ClusterOptions{});
    ASSERT_TRUE(cluster.run_until(half_way));
    wire::PartDone part;
    part.part.file = file;
    part.part.xxh3 = part_xxh3({});
    part.checkpoint = cluster.schedule().steps();

    cluster.deliver_to_coordinator({Role::kServer, 0, cluster.status().shards[0].incarnation},
                                   part);

    EXPECT_THAT(cluster.all_notes(),
                HasSubstr(fmt::format("expected file part-0.blp, found \"{}\"", file)));
    cluster.run();
    expect_done(cluster);
  }
}

TEST(Checkpoint, TakesNoPartThatContradictsItself) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  wire::PartDone part;
  part.part.file = part_file_name(0);
  part.part.bytes = 64;  // and nothing in it
  part.checkpoint = cluster.schedule().steps();

  cluster.deliver_to_coordinator({Role::kServer, 0, cluster.status().shards[0].incarnation}, part);

  EXPECT_THAT(cluster.all_notes(), HasSubstr("refused the part of server-0"));
}

TEST(Failure, OfAManifestNamesTheLastGoodCheckpoint) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& it) { return it.committed().contains(4); }));
  cluster.turn();

  cluster.event(ManifestFailed{8, Status(Code::kExhausted, "disk full")});

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().status.code(), Code::kExhausted);
  EXPECT_THAT(cluster.finish().status.to_string(), HasSubstr("resume from checkpoint 4"));
}

TEST(Run, AnswersEveryMessageWithEndAfterTheEnd) {
  FakeCluster cluster(ClusterOptions{});
  cluster.run();
  ASSERT_TRUE(cluster.finished());
  const uint64_t before = cluster.sent("End");

  cluster.deliver_to_coordinator({Role::kWorker, 1, 1}, wire::Assigned{});

  EXPECT_EQ(cluster.sent("End"), before + 1);
}

// ---------------------------------------------------------------- the coordinator goes and comes

TEST_P(EveryMode, EndsTheSameWhereverTheCoordinatorIsRestarted) {
  FakeCluster undisturbed(options());
  undisturbed.run();
  const uint64_t calls = undisturbed.calls();
  for (uint64_t call = 1; call < calls; call += 1 + calls / 300) {
    SCOPED_TRACE(::testing::Message() << "in call " << call << " of " << calls);
    FakeCluster cluster(options());
    cluster.crash_coordinator_in(call, call % 4);

    cluster.run(120s, [](FakeCluster& it) {
      if (!it.coordinator_up()) it.start_coordinator();
    });

    expect_done(cluster);
    ASSERT_TRUE(cluster.rows().contains(3));
    EXPECT_TRUE(cluster.rows().at(3).missing.empty()) << cluster.all_notes();
    EXPECT_GE(*cluster.committed().rbegin(), cluster.schedule().steps());
    if (::testing::Test::HasFailure()) return;
  }
}

// Workers, shards and the coordinator die and come back, lanes move, messages are lost, repeated
// and late, for four seconds; then it is calm. `stop_at`: a stop is asked for then.
void run_through_storm(FakeCluster& cluster, std::optional<Duration> stop_after = {}) {
  Random random(cluster.options().seed * 977);
  const Time begin = cluster.now();
  cluster.run(120s, [&](FakeCluster& it) {
    const bool stormy = it.now() < begin + 4s;
    const auto worker = static_cast<uint32_t>(random.below(3));
    const auto shard = static_cast<uint32_t>(random.below(2));
    if (stormy && random.chance(0.01)) it.crash_worker(worker, random.chance(0.5));
    if (stormy && random.chance(0.01)) it.crash_shard(shard, random.chance(0.5));
    if (stormy && random.chance(0.01)) it.crash_coordinator();
    if (stormy && random.chance(0.01)) it.event(MoveLane{LaneId(shard), WorkerId(worker)});
    if (random.chance(0.05) && !it.worker_up(worker)) it.start_worker(worker);
    if (random.chance(0.05) && !it.shard_up(shard)) it.start_shard(shard, true);
    if (random.chance(0.1)) it.start_coordinator();
    if (stop_after && it.now() >= begin + *stop_after && random.chance(0.1)) {
      it.event(StopRequested{});  // again and again: an impatient user
    }
  });
}

ClusterOptions storm(Mode mode, uint64_t seed) {
  ClusterOptions wanted;
  wanted.mode = mode;
  wanted.seed = seed;
  wanted.loss = 0.05;
  wanted.repeat = 0.05;
  wanted.reorder = true;
  wanted.workers = 3;
  wanted.rows = 160;
  wanted.durability = Durability::kProcess;
  return wanted;
}

TEST_P(EveryMode, SurvivesEveryKindOfFaultAtOnce) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    FakeCluster cluster(storm(GetParam(), seed));

    run_through_storm(cluster);

    expect_done(cluster);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_P(EveryMode, StopsOnRequestUnderEveryKindOfFaultAtOnce) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    FakeCluster cluster(storm(GetParam(), seed));

    run_through_storm(cluster, Duration(50ms) * static_cast<int64_t>(seed));

    ASSERT_EQ(cluster.violation(), "") << cluster.all_notes();
    ASSERT_TRUE(cluster.finished()) << cluster.status().waiting_for << cluster.all_notes();
    EXPECT_NE(cluster.finish().kind, wire::EndKind::kFailed)
        << cluster.finish().status.to_string() << cluster.all_notes();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace ballast::testing
