#include "tests/server/coordinator/whole_job.h"

#include <string>

namespace ballast::testing {
namespace {

std::string mode_name(const ::testing::TestParamInfo<Mode>& info) {
  return info.param == Mode::kSync ? "Sync" : info.param == Mode::kSsp ? "Ssp" : "Async";
}
INSTANTIATE_TEST_SUITE_P(Modes, EveryMode, ::testing::Values(Mode::kSync, Mode::kSsp, Mode::kAsync),
                         mode_name);

}  // namespace

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

}  // namespace ballast::testing
