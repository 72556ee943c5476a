#include "worker/tool/host_facts.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "common/base/system_cores.h"
#include "common/base/system_memory.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

fs::path nearest_existing(fs::path path) {
  std::error_code ignored;
  while (!path.empty() && path.has_relative_path() && !fs::exists(path, ignored)) {
    path = path.parent_path();
  }
  return path;
}

bool port_is_free(const std::string& host, uint32_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* address = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &address) != 0) return false;
  const int socket_fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int reuse = 1;
  setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
  const bool bound = bind(socket_fd, address->ai_addr, address->ai_addrlen) == 0;
  close(socket_fd);
  freeaddrinfo(address);
  return bound;
}

std::vector<uint32_t> ports_in_use(const ClusterConfig& cluster) {
  std::vector<uint32_t> used;
  if (cluster.transport != TransportKind::kTcp || cluster.port == 0) return used;
  const uint32_t feeders = cluster.feeder_hosts.empty() ? cluster.feeders : 0;  // of this host
  const uint32_t count = 1 + cluster.servers * cluster.shards_per_server + feeders;
  for (uint32_t port = cluster.port; port < cluster.port + count; ++port) {
    if (!port_is_free(cluster.host, port)) used.push_back(port);
  }
  return used;
}

}  // namespace

HostFacts read_host_facts(const JobConfig& job, const std::string& run_dir) {
  HostFacts facts;
  std::error_code error;
  facts.run_dir = fs::absolute(run_dir).lexically_normal().string();
  const fs::path existing = nearest_existing(facts.run_dir);
  if (!fs::is_directory(existing, error)) facts.run_dir_blocked_by = existing.string();
  facts.run_dir_used = existing == facts.run_dir && fs::is_directory(existing, error) &&
                       !fs::is_empty(existing, error);
  const fs::space_info space = fs::space(existing, error);
  facts.free_disk_bytes = error ? 0 : space.available;
  facts.run_dir_writable = access(existing.c_str(), W_OK | X_OK) == 0;
  facts.tmp_writable = access("/tmp", W_OK | X_OK) == 0;
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  facts.file_descriptors_max = files.rlim_cur;
  facts.available_memory_bytes = available_memory_bytes();
  facts.cores = usable_cores();
  facts.used_ports = ports_in_use(job.cluster);
  return facts;
}

}  // namespace ballast
