// Checkpoints of a whole job: when one is committed, and which parts make none.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/coordinator/whole_job.h"

namespace ballast::testing {
namespace {

using ::testing::HasSubstr;

TEST_P(EveryMode, CommitsACheckpointAtEveryMultipleOfTheSteps) {
  FakeCluster cluster(options());

  cluster.run();

  expect_done(cluster);
  EXPECT_TRUE(cluster.committed().contains(4));
  EXPECT_TRUE(cluster.committed().contains(8));
}

// What a part says of its file becomes a path of the manifest.
TEST(Checkpoint, TakesNoPartWhoseFileIsNotTheShardsOwn) {
  for (const char* file : {"../../etc/passwd", "/tmp/part-0.blp", "..", "", "part-1.blp"}) {
    SCOPED_TRACE(file);
    FakeCluster cluster(ClusterOptions{});
    ASSERT_TRUE(cluster.run_until(half_way));
    wire::PartDone part;
    part.part.file = file;
    part.part.xxh3 = part_xxh3({});
    part.checkpoint = cluster.schedule().steps();

    cluster.deliver_to_coordinator({Role::kServer, 0, cluster.status().shards[0].incarnation},
                                   part);

    EXPECT_THAT(cluster.all_notes(),
                HasSubstr(fmt::format("expected file part-0.blp, found \"{}\"", file)));
    cluster.run();
    expect_done(cluster);
  }
}

TEST(Checkpoint, TakesNoPartThatContradictsItself) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until(half_way));
  wire::PartDone part;
  part.part.file = part_file_name(0);
  part.part.bytes = 64;  // and nothing in it
  part.checkpoint = cluster.schedule().steps();

  cluster.deliver_to_coordinator({Role::kServer, 0, cluster.status().shards[0].incarnation}, part);

  EXPECT_THAT(cluster.all_notes(), HasSubstr("refused the part of server-0"));
}

TEST(Failure, OfAManifestNamesTheLastGoodCheckpoint) {
  FakeCluster cluster(ClusterOptions{});
  ASSERT_TRUE(cluster.run_until([](const FakeCluster& it) { return it.committed().contains(4); }));
  cluster.turn();

  cluster.event(ManifestFailed{8, Status(Code::kExhausted, "disk full")});

  ASSERT_TRUE(cluster.finished());
  EXPECT_EQ(cluster.finish().status.code(), Code::kExhausted);
  EXPECT_THAT(cluster.finish().status.to_string(), HasSubstr("resume from checkpoint 4"));
}

}  // namespace
}  // namespace ballast::testing
