#include "common/config/endpoints.h"

#include <fmt/format.h>

namespace ballast {
namespace {

constexpr uint32_t kDefaultPort = 7700;  // cluster.port = 0

uint32_t first_port(const JobConfig& job) {
  return job.cluster.port == 0 ? kDefaultPort : job.cluster.port;
}

}  // namespace

std::string coordinator_endpoint(const JobConfig& job) {
  if (job.cluster.transport == TransportKind::kIpc) {
    return fmt::format("ipc://{}/coordinator", kSocketFolder);
  }
  return fmt::format("tcp://{}:{}", job.cluster.host, first_port(job));
}

std::string shard_endpoint(const JobConfig& job, ShardId shard) {
  if (job.cluster.transport == TransportKind::kIpc) {
    return fmt::format("ipc://{}/shard-{}", kSocketFolder, shard.value());
  }
  return fmt::format("tcp://{}:{}", job.cluster.host, first_port(job) + 1 + shard.value());
}

std::string feeder_endpoint(const JobConfig& job, uint32_t feeder) {
  const ClusterConfig& cluster = job.cluster;
  if (cluster.transport == TransportKind::kIpc) {
    return fmt::format("ipc://{}/feeder-{}", kSocketFolder, feeder);
  }
  const std::string& host = cluster.feeder_hosts.empty()
                                ? cluster.host
                                : cluster.feeder_hosts[feeder % cluster.feeder_hosts.size()];
  return fmt::format("tcp://{}:{}", host, first_port(job) + 1 + job.shard_count() + feeder);
}

}  // namespace ballast
