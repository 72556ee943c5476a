#include "common/config/endpoints.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

TEST(Endpoints, AreSocketsInTheRunDirectoryOrPortsInARow) {
  JobConfig job;
  EXPECT_EQ(coordinator_endpoint(job), "ipc://sockets/coordinator");
  EXPECT_EQ(shard_endpoint(job, ShardId(3)), "ipc://sockets/shard-3");
  EXPECT_EQ(feeder_endpoint(job, 1), "ipc://sockets/feeder-1");

  job.cluster.transport = TransportKind::kTcp;
  job.cluster.port = 9000;
  job.cluster.servers = 2;
  job.cluster.shards_per_server = 2;
  EXPECT_EQ(coordinator_endpoint(job), "tcp://127.0.0.1:9000");
  EXPECT_EQ(shard_endpoint(job, ShardId(3)), "tcp://127.0.0.1:9004");
  EXPECT_EQ(feeder_endpoint(job, 0), "tcp://127.0.0.1:9005");
}

TEST(Endpoints, OfFeedersTakeTheirHostsInTurn) {
  JobConfig job;
  job.cluster.transport = TransportKind::kTcp;
  job.cluster.port = 9000;
  job.cluster.feeder_hosts = {"10.0.0.7", "10.0.0.8"};

  EXPECT_EQ(feeder_endpoint(job, 0), "tcp://10.0.0.7:9002");
  EXPECT_EQ(feeder_endpoint(job, 1), "tcp://10.0.0.8:9003");
  EXPECT_EQ(feeder_endpoint(job, 2), "tcp://10.0.0.7:9004");
}

}  // namespace
}  // namespace ballast
