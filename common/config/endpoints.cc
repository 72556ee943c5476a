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

}  // namespace ballast
