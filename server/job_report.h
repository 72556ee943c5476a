// JobReport: the files of a run directory that tell people how the job stands and what it came to:
// status.json (renamed into place), metrics.jsonl (a line an evaluation), summary.json and
// model.safetensors (at the end). Owner thread: the coordinator's main.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/base/time.h"
#include "common/config/job_config.h"
#include "server/coordinator/coordinator.h"

namespace ballast {

class JobReport {
 public:
  // Paths are relative to the run directory, which is the working directory.
  JobReport(const JobConfig& job, std::string job_hash, Time started);

  Status write_status(const JobStatus& status);
  Status add_metrics(const MetricRow& row, Time now);
  // The weights of checkpoint `id` as model.safetensors, their hash, and the checkpoint's ledger.
  Status export_model(const std::string& run_dir, uint64_t id);
  Status write_summary(const JobStatus& status, bool stopped, Time now);

 private:
  const JobConfig& job_;
  const std::string job_hash_;
  const Time started_;
  std::vector<std::pair<std::string, double>> metrics_;  // of the last evaluation
  std::string weights_xxh3_;
  std::string order_ledger_;  // empty: no checkpoint, or one without a ledger
};

}  // namespace ballast
