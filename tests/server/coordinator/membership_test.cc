#include "server/coordinator/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/coordinator/admission.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

constexpr WorkerId kWorker(0);
const Time kStart{Duration(100s)};

Patience patience() {
  ClusterConfig cluster;
  cluster.heartbeat_ms = 100;
  cluster.dead_after_ms = 1000;
  cluster.stuck_after_ms = 3000;
  cluster.join_deadline_ms = 5000;
  return patience_of(cluster);
}

Membership fresh() {
  Membership membership(3, 2, patience());
  membership.begin(kStart);
  return membership;
}

wire::Join join(Role role, uint32_t index, Incarnation incarnation) {
  wire::Join join;
  join.role = role;
  join.index = index;
  join.incarnation = incarnation;
  join.job_hash = "hash";
  join.run = "0000000000000001";
  return join;
}

Peer worker(Incarnation incarnation) {
  return {Role::kWorker, 0, incarnation};
}

TEST(Membership, TellsFirstRepeatedAndNewLivesApart) {
  Membership membership = fresh();

  EXPECT_EQ(membership.joined(join(Role::kWorker, 0, 4), kStart), Arrival::kNew);
  EXPECT_EQ(membership.joined(join(Role::kWorker, 0, 4), kStart), Arrival::kKnown);
  EXPECT_EQ(membership.joined(join(Role::kWorker, 0, 5), kStart), Arrival::kRestarted);
  membership.gone(kWorker, kStart);
  EXPECT_EQ(membership.joined(join(Role::kWorker, 0, 5), kStart), Arrival::kReturned);
}

TEST(Membership, HearsOnlyTheLifeThatIsIn) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 4), kStart);

  EXPECT_TRUE(membership.heard(worker(4), kStart));
  EXPECT_FALSE(membership.heard(worker(3), kStart));
  EXPECT_FALSE(membership.heard({Role::kWorker, 1, 4}, kStart));
  EXPECT_FALSE(membership.heard({Role::kWorker, 99, 4}, kStart));
  EXPECT_FALSE(membership.heard({Role::kTool, 0, 4}, kStart));
}

TEST(Membership, CallsAProcessDeadAfterItsSilence) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 4), kStart);

  EXPECT_FALSE(membership.dead(membership.worker(kWorker), kStart + 999ms));
  EXPECT_TRUE(membership.dead(membership.worker(kWorker), kStart + 1000ms));
  EXPECT_EQ(membership.why_dead(membership.worker(kWorker), kStart + 1500ms),
            "not heard for 1.5 s");
  membership.heard(worker(4), kStart + 900ms);
  EXPECT_FALSE(membership.dead(membership.worker(kWorker), kStart + 1000ms));
}

TEST(Membership, HasLessPatienceOnceTheConnectionBroke) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 4), kStart);

  membership.lost(worker(4), kStart);
  EXPECT_FALSE(membership.dead(membership.worker(kWorker), kStart + 199ms));
  EXPECT_TRUE(membership.dead(membership.worker(kWorker), kStart + 200ms));
  EXPECT_EQ(membership.why_dead(membership.worker(kWorker), kStart + 200ms),
            "its connection broke 200 ms ago");
  membership.heard(worker(4), kStart + 150ms);
  EXPECT_FALSE(membership.dead(membership.worker(kWorker), kStart + 200ms));
}

TEST(Membership, DoesNotMournAnOldLife) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 5), kStart);

  membership.lost(worker(4), kStart);

  EXPECT_FALSE(membership.dead(membership.worker(kWorker), kStart + 500ms));
}

TEST(Membership, TellsAStuckProcessFromADeadOne) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 4), kStart);
  for (int i = 0; i < 40; ++i) {
    membership.heard(worker(4), kStart + 100ms * i);
    membership.beat(worker(4), 7, kStart + 100ms * i);
  }

  EXPECT_FALSE(membership.dead(membership.worker(kWorker), kStart + 4s));
  EXPECT_EQ(membership.stuck(membership.worker(kWorker), kStart + 4s), 4s);
  membership.beat(worker(4), 8, kStart + 4s);
  EXPECT_EQ(membership.stuck(membership.worker(kWorker), kStart + 4s), 0s);
}

TEST(Membership, TakesBackOnlyTheLifeThatWasGivenUp) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 4), kStart);
  EXPECT_FALSE(membership.returned(worker(4), kStart));
  membership.gone(kWorker, kStart);

  EXPECT_FALSE(membership.returned(worker(3), kStart));
  EXPECT_TRUE(membership.returned(worker(4), kStart));
  EXPECT_EQ(membership.workers_in(), std::vector<WorkerId>{kWorker});
}

TEST(Membership, NamesWhoIsMissingAndSinceWhen) {
  Membership membership = fresh();
  membership.joined(join(Role::kServer, 0, 1), kStart + 1s);
  membership.joined(join(Role::kWorker, 1, 1), kStart + 1s);

  EXPECT_EQ(membership.missing(2, kStart + 3s),
            "shard 0 is loading (2.0 s), shard 1 has not joined (3.0 s), "
            "worker 0 has not joined (3.0 s)");
  EXPECT_EQ(membership.missing_since(2), kStart);
  membership.joined(join(Role::kServer, 1, 1), kStart + 2s);
  membership.shard(ShardId(0)).loaded = membership.shard(ShardId(1)).loaded = true;
  EXPECT_EQ(membership.missing(1, kStart + 3s), "");
  EXPECT_EQ(membership.missing_since(1), kEndOfTime);
}

TEST(Membership, TellsTheLastSignOfWorkOfTheWorkersThatAreIn) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 0, 1), kStart);
  membership.joined(join(Role::kWorker, 1, 1), kStart);
  EXPECT_EQ(membership.last_worker_beat(), kStart);

  membership.beat(membership.peer(WorkerId(0)), 1, kStart + 2s);
  membership.beat(membership.peer(WorkerId(1)), 1, kStart + 3s);
  EXPECT_EQ(membership.last_worker_beat(), kStart + 3s);
  membership.beat(membership.peer(WorkerId(1)), 1, kStart + 9s);  // answers, but does not get on
  EXPECT_EQ(membership.last_worker_beat(), kStart + 3s);
  membership.gone(WorkerId(1), kStart + 9s);
  EXPECT_EQ(membership.last_worker_beat(), kStart + 2s);
}

// ---------------------------------------------------------------- who may join

std::string refusal(const wire::Join& message) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 1, 9), kStart);
  const Peer from{message.role, message.index, message.incarnation};
  return refusal_of(message, from, {"hash", "0000000000000001"}, membership).value_or("welcome");
}

TEST(Admission, WelcomesWhoFits) {
  EXPECT_EQ(refusal(join(Role::kWorker, 0, 1)), "welcome");
  EXPECT_EQ(refusal(join(Role::kServer, 1, 1)), "welcome");
  EXPECT_EQ(refusal(join(Role::kWorker, 1, 9)), "welcome");
  EXPECT_EQ(refusal(join(Role::kWorker, 1, 10)), "welcome");
}

TEST(Admission, RefusesAnotherJob) {
  wire::Join other = join(Role::kWorker, 0, 1);
  other.job_hash = "cafe";
  EXPECT_THAT(refusal(other), HasSubstr("started for job_hash cafe, expected hash"));
}

TEST(Admission, RefusesAnotherRunOfTheSameJob) {
  wire::Join second = join(Role::kWorker, 0, 1);
  second.run = "0000000000000002";
  EXPECT_THAT(refusal(second),
              HasSubstr("worker 0 is of run 0000000000000002 of this job, expected "
                        "run 0000000000000001"));
  second = join(Role::kServer, 0, 1);
  second.run = "";
  EXPECT_THAT(refusal(second), HasSubstr("another cluster.port"));
}

TEST(Admission, KnowsWhoseNumberBelongsToANewerLife) {
  Membership membership = fresh();
  membership.joined(join(Role::kWorker, 1, 9), kStart);

  EXPECT_THAT(displacement_of({Role::kWorker, 1, 8}, membership).value_or(""),
              HasSubstr("worker 1 with incarnation 8 is an old life: incarnation 9"));
  EXPECT_FALSE(displacement_of({Role::kWorker, 1, 9}, membership));
  EXPECT_FALSE(displacement_of({Role::kWorker, 0, 3}, membership));
  EXPECT_FALSE(displacement_of({Role::kWorker, 99, 3}, membership));
  EXPECT_FALSE(displacement_of({Role::kTool, 1, 3}, membership));
}

TEST(Admission, RefusesAProtocolWithoutOverlap) {
  wire::Join newer = join(Role::kWorker, 0, 1);
  newer.protocol_min = wire::kProtocolMax + 1;
  newer.protocol_max = wire::kProtocolMax + 3;
  wire::Join older = join(Role::kWorker, 0, 1);
  older.protocol_min = older.protocol_max = 0;
  wire::Join wider = join(Role::kWorker, 0, 1);
  wider.protocol_max = wire::kProtocolMax + 3;

  EXPECT_THAT(refusal(newer), HasSubstr("speaks protocol 4 to 6, expected 3 to 3"));
  EXPECT_THAT(refusal(older), HasSubstr("speaks protocol 0 to 0"));
  EXPECT_EQ(refusal(wider), "welcome");
}

TEST(Admission, RefusesANumberOutOfRange) {
  EXPECT_THAT(refusal(join(Role::kServer, 2, 1)),
              HasSubstr("server 2 is out of range: this job has numbers 0 to 1"));
  EXPECT_THAT(refusal(join(Role::kWorker, 3, 1)), HasSubstr("out of range"));
}

TEST(Admission, TakesAToolOfThisJobWhateverItsNumber) {
  EXPECT_EQ(refusal(join(Role::kTool, 4711, 1)), "welcome");
}

TEST(Admission, RefusesAnOldLife) {
  EXPECT_THAT(refusal(join(Role::kWorker, 1, 8)),
              HasSubstr("incarnation 9 (host , process 0) has joined"));
}

TEST(Admission, RefusesWhoIsNotOnItsOwnConnection) {
  const Membership membership = fresh();
  const auto reason = refusal_of(join(Role::kWorker, 0, 2), worker(1), {"hash", ""}, membership);
  ASSERT_TRUE(reason);
  EXPECT_THAT(*reason, HasSubstr("worker-0#1"));
  EXPECT_THAT(refusal(join(Role::kCoordinator, 0, 1)), HasSubstr("expected a worker, a server"));
  EXPECT_THAT(refusal(join(Role::kWorker, 0, 0)), HasSubstr("incarnation 0"));
}

}  // namespace
}  // namespace ballast
