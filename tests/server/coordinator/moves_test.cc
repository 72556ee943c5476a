// Lanes that move between living workers, by order and by the coordinator's own plan.
#include <gtest/gtest.h>

#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

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

}  // namespace
}  // namespace ballast::testing
