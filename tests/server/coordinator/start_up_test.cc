// How a job begins: who must be there, who is refused, and from where it goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

TEST(StartUp, AsksEachWorkerToConfirmItsOwnLanes) {
  FakeCluster cluster(ClusterOptions{});

  ASSERT_TRUE(cluster.run_until([](const FakeCluster& c) { return c.sent("Assign") == 2; }));

  EXPECT_EQ(cluster.status().waiting_for,
            "worker 0 to confirm lanes 0, 1; worker 1 to confirm lanes 2, 3");
}

TEST(StartUp, SaysThatWorkersOfTwoKindsGiveOtherBitsInSyncOnly) {
  const auto notes_of = [](Mode mode, std::vector<std::string> arithmetic) {
    ClusterOptions options;
    options.mode = mode;
    options.arithmetic = std::move(arithmetic);
    FakeCluster cluster(options);
    cluster.run();
    expect_done(cluster);
    return cluster.all_notes();
  };
  const auto differs = HasSubstr("the bits of the weights depend on");

  const std::string told = notes_of(Mode::kSync, {"cpu: v3", "cpu: v4"});
  EXPECT_THAT(told, AllOf(differs, HasSubstr("cpu: v3"), HasSubstr("cpu: v4")));
  EXPECT_THAT(told, AllOf(HasSubstr("worker 0 (host here"), HasSubstr("worker 1 (host here")));
  EXPECT_THAT(notes_of(Mode::kSync, {"cpu: v4", "cpu: v4"}), ::testing::Not(differs));
  EXPECT_THAT(notes_of(Mode::kSync, {"", "cpu: v4"}), ::testing::Not(differs)) << "of an old build";
  EXPECT_THAT(notes_of(Mode::kAsync, {"cpu: v3", "cpu: v4"}), ::testing::Not(differs));
}

TEST(StartUp, TellsEachKindOfWorkersOnceInACoordinatorsLife) {
  ClusterOptions options;
  options.workers = 3;
  options.arithmetic = {"cpu: v3", "cpu: v4", "cpu: v3"};
  FakeCluster cluster(options);
  const auto times_told = [&] {
    return std::ranges::count_if(cluster.notes(), [](const std::string& note) {
      return note.find("the bits of the weights depend on") != std::string::npos;
    });
  };
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& c) { return !c.committed().empty(); }));
  EXPECT_EQ(times_told(), 1);

  cluster.crash_coordinator();
  cluster.start_coordinator();
  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(times_told(), 2) << "it does not know who was there";
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

}  // namespace
}  // namespace ballast::testing
