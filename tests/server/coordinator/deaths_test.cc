// Workers, shards and the coordinator die and come back: what a job survives, and what it says
// when it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace ballast::testing
