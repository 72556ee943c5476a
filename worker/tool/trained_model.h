// TrainedModel: a finished run as something to compute with: its config, its model.safetensors in a
// TrainStep. Owner thread: the command's.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/compute/backend.h"
#include "common/config/job_config.h"
#include "worker/data/eval_loader.h"
#include "worker/train_step.h"

namespace ballast {

// The effective config of a run directory. kNotFound: no such folder, or no config.toml in it.
[[nodiscard]] Result<JobConfig> load_run(const std::string& run_dir);

struct TrainedModel {
  JobConfig job;
  std::string weights_xxh3;
  std::unique_ptr<Backend> backend;  // outlives the step: declared before it
  std::unique_ptr<TrainStep> step;   // for batches of up to kEvaluationRows

  // kNotFound: no run directory, or no model in it yet; says how to get one. Other errors: those of
  // read_model, of the config and of the device.
  [[nodiscard]] static Result<TrainedModel> open(const std::string& run_dir);

  // The data set at `folder` as the job's columns and transforms make it, in `lanes` slices.
  // kInvalidInput: a file instead of a data set, or rows of another shape than the model takes.
  [[nodiscard]] Result<std::unique_ptr<EvalLoader>> open_data(const std::string& folder,
                                                              uint32_t lanes) const;
  // The same in one slice and without labels, which need not be there.
  [[nodiscard]] Result<std::unique_ptr<EvalLoader>> open_features(const std::string& folder) const;
};

}  // namespace ballast
