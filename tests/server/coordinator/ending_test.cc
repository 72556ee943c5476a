// How a job ends before its time, by a stop or by a failure, and what it says after its end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

// ---------------------------------------------------------------- after the end

TEST(Run, AnswersEveryMessageWithEndAfterTheEnd) {
  FakeCluster cluster(ClusterOptions{});
  cluster.run();
  ASSERT_TRUE(cluster.finished());
  const uint64_t before = cluster.sent("End");

  cluster.deliver_to_coordinator({Role::kWorker, 1, 1}, wire::Assigned{});

  EXPECT_EQ(cluster.sent("End"), before + 1);
}

}  // namespace
}  // namespace ballast::testing
