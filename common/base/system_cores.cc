#include "common/base/system_cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace ballast {
namespace {

uint32_t affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

}  // namespace

uint32_t usable_cores() {
  return cores_within(affinity_cores(), quota_cores("/sys/fs/cgroup"));
}

// v2 has one file, "200000 100000" or "max 100000"; v1 has two, the quota -1 where there is none.
double quota_cores(const std::string& folder) {
  double quota = 0;
  double period = 0;
  std::ifstream both(folder + "/cpu.max");
  if (both >> quota >> period && period > 0) return quota / period;
  std::ifstream quota_file(folder + "/cpu/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu/cpu.cfs_period_us");
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) {
    return quota / period;
  }
  return 0;
}

uint32_t cores_within(uint32_t cores, double quota) {
  cores = std::max(cores, 1u);
  if (quota <= 0 || quota >= cores) return cores;
  return std::max(static_cast<uint32_t>(std::ceil(quota)), 1u);
}

}  // namespace ballast
