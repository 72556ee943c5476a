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

// Of control groups v2 ("200000 100000", or "max 100000") and v1; 0: no quota.
double quota_cores() {
  double quota = 0;
  double period = 0;
  std::ifstream both("/sys/fs/cgroup/cpu.max");
  if (both >> quota >> period && period > 0) return quota / period;
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) {
    return quota / period;
  }
  return 0;
}

}  // namespace

uint32_t usable_cores() {
  const uint32_t cores = std::max(affinity_cores(), 1u);
  const double quota = quota_cores();
  if (quota <= 0 || quota >= cores) return cores;
  return std::max(static_cast<uint32_t>(std::ceil(quota)), 1u);
}

}  // namespace ballast
