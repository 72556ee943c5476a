#include "worker/tool/host_facts.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

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

// The number a one-line file holds; `otherwise` when it holds none ("max") or does not exist.
uint64_t number_in(const std::string& path, uint64_t otherwise) {
  std::ifstream file(path);
  uint64_t number = 0;
  return file >> number ? number : otherwise;
}

uint64_t machine_available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (uint64_t kib = 0; file >> key >> kib; std::getline(file, unit)) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return std::numeric_limits<uint64_t>::max();
}

// Of control groups v2 and v1; no limit where there is none.
uint64_t group_available_bytes() {
  constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  const std::pair<const char*, const char*> places[] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
       "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (const auto& [limit_path, usage_path] : places) {
    const uint64_t limit = number_in(limit_path, kNone);
    if (limit == kNone) continue;
    return limit - std::min(limit, number_in(usage_path, 0));
  }
  return kNone;
}

uint32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
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
  const uint32_t count = 1 + cluster.servers * cluster.shards_per_server;
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
  facts.available_memory_bytes = std::min(machine_available_bytes(), group_available_bytes());
  facts.cores = usable_cores();
  facts.used_ports = ports_in_use(job.cluster);
  return facts;
}

}  // namespace ballast
