// What tests of whole jobs share: a job in each mode, its middle, and its good end.
#pragma once

#include <gtest/gtest.h>

#include "tests/server/coordinator/fake_cluster.h"

namespace ballast::testing {

// Instantiated in whole_job.cc, once for all files that add tests to it.
class EveryMode : public ::testing::TestWithParam<Mode> {
 protected:
  static ClusterOptions options() {
    ClusterOptions options;
    options.mode = GetParam();
    return options;
  }
};

// Fails the calling test unless the job ended well, with every step in every unit and a checkpoint
// of the end.
void expect_done(const FakeCluster& cluster);

[[nodiscard]] bool half_way(const FakeCluster& cluster);

}  // namespace ballast::testing
