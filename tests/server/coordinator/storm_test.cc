// Every kind of fault at once, from seeds.
#include <gtest/gtest.h>

#include <optional>

#include "common/base/random.h"
#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

// Workers, shards and the coordinator die and come back, lanes move, messages are lost, repeated
// and late, for four seconds; then it is calm. `stop_after`: a stop is asked for then.
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
