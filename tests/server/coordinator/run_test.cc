// Whole jobs with a real coordinator and imitated shards and workers.
#include <gtest/gtest.h>

#include "tests/server/coordinator/fake_cluster.h"

namespace ballast::testing {
namespace {

class EveryMode : public ::testing::TestWithParam<Mode> {};

std::string mode_name(const ::testing::TestParamInfo<Mode>& info) {
  return info.param == Mode::kSync ? "Sync" : info.param == Mode::kSsp ? "Ssp" : "Async";
}
INSTANTIATE_TEST_SUITE_P(Modes, EveryMode, ::testing::Values(Mode::kSync, Mode::kSsp, Mode::kAsync),
                         mode_name);

void expect_done(const FakeCluster& cluster) {
  ASSERT_EQ(cluster.violation(), "") << cluster.all_notes();
  ASSERT_TRUE(cluster.finished()) << cluster.all_notes();
  EXPECT_EQ(cluster.finish().kind, wire::EndKind::kDone) << cluster.finish().status.to_string();
  EXPECT_TRUE(cluster.whole());
}

TEST_P(EveryMode, EndsWithEveryStepInEveryUnitAndAFinalCheckpoint) {
  ClusterOptions options;
  options.mode = GetParam();
  FakeCluster cluster(options);

  cluster.run();

  expect_done(cluster);
  EXPECT_EQ(*cluster.committed().rbegin(), cluster.schedule().steps());
  ASSERT_TRUE(cluster.rows().contains(3));
  EXPECT_TRUE(cluster.rows().at(3).final);
  EXPECT_TRUE(cluster.rows().at(3).missing.empty());
  EXPECT_EQ(cluster.rows().at(3).test.rows, 10u + 11 + 12 + 13);
}

}  // namespace
}  // namespace ballast::testing
