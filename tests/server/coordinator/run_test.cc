// A whole job that nobody disturbs but the network: what a user is promised of it.
#include <gtest/gtest.h>

#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

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

}  // namespace
}  // namespace ballast::testing
