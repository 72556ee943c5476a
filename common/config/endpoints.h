// Where the processes of a job listen, by arithmetic from its config, so that nobody has to be
// told. Pure.
#pragma once

#include <string>

#include "common/base/ids.h"
#include "common/config/job_config.h"

namespace ballast {

// ipc: sockets/coordinator, sockets/shard-<n> and sockets/feeder-<n> below the run directory, which
// is every process's working directory (a socket's path may have 107 bytes at most). tcp:
// cluster.host at cluster.port, the shards at the ports after it, then the feeders, those at their
// own hosts.
[[nodiscard]] std::string coordinator_endpoint(const JobConfig& job);
[[nodiscard]] std::string shard_endpoint(const JobConfig& job, ShardId shard);
[[nodiscard]] std::string feeder_endpoint(const JobConfig& job, uint32_t feeder);

inline constexpr const char* kSocketFolder = "sockets";  // 0700

}  // namespace ballast
