#include "common/base/system_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace ballast {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The number a one-line file holds; `otherwise` when it holds none ("max") or does not exist.
uint64_t number_in(const std::string& path, uint64_t otherwise) {
  std::ifstream file(path);
  uint64_t number = 0;
  return file >> number ? number : otherwise;
}

// "MemTotal:", "MemAvailable:" of /proc/meminfo, in bytes.
uint64_t machine_bytes(const std::string& wanted) {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (uint64_t kib = 0; file >> key >> kib; std::getline(file, unit)) {
    if (key == wanted) return kib * 1024;
  }
  return kUnlimited;
}

struct Group {
  uint64_t limit = kUnlimited;
  uint64_t used = 0;
};

// Of control groups v2 and v1; no limit where there is none.
Group group() {
  const std::pair<const char*, const char*> places[] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
       "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (const auto& [limit_path, used_path] : places) {
    const uint64_t limit = number_in(limit_path, kUnlimited);
    if (limit != kUnlimited) return {limit, number_in(used_path, 0)};
  }
  return {};
}

}  // namespace

uint64_t memory_limit_bytes() {
  return std::min(machine_bytes("MemTotal:"), group().limit);
}

uint64_t available_memory_bytes() {
  const Group found = group();
  return std::min(machine_bytes("MemAvailable:"), found.limit - std::min(found.limit, found.used));
}

}  // namespace ballast
