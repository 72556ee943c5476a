// What this machine has to offer a job. Reads /proc, /sys and the file system; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/config/job_config.h"

namespace ballast {

struct HostFacts {
  uint64_t free_disk_bytes = 0;         // where the run directory will be
  uint64_t file_descriptors_max = 0;    // soft limit of a process
  uint64_t available_memory_bytes = 0;  // the less of the machine's and the control group's
  uint32_t cores = 0;                   // that this process may use
  bool run_dir_writable = true;
  bool tmp_writable = true;
  std::string run_dir;             // absolute
  std::string run_dir_blocked_by;  // what stands where a folder of its path should; empty: nothing
  bool run_dir_used = false;       // it is there and not empty
  std::vector<uint32_t> used_ports;  // of those the job wants
};

// `run_dir` need not exist; its nearest parent that does is asked.
[[nodiscard]] HostFacts read_host_facts(const JobConfig& job, const std::string& run_dir);

}  // namespace ballast
