// ModelWeights: the tensors of a trained model, whole again: put together from the units of a
// checkpoint (or of a running cluster), written to and read from a safetensors file. The one place
// where units become a model for the outside world. Plain values; any thread; files block on the
// disk.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/storage/checkpoint.h"
#include "common/storage/safetensors.h"

namespace ballast {

// The model as a run directory names it.
inline constexpr const char* kModelFile = "model.safetensors";

struct ModelWeights {
  std::vector<ParameterSpec> parameters;   // in the order of parameters_of()
  std::vector<std::vector<float>> values;  // by parameter, row-major

  // Borrowed from `values`, in the same order.
  [[nodiscard]] std::vector<Tensor> tensors() const;
  // In hex, as in summary.json.
  [[nodiscard]] std::string xxh3() const;
  // Puts a unit's floats (any alignment) where they belong. kDataLoss: not as many as it has.
  [[nodiscard]] Status put(const UnitSpec& unit, std::span<const std::byte> floats);
};

// The job's tensors, all zero.
[[nodiscard]] ModelWeights blank_weights(const JobConfig& job);

// Errors: those of load_units; kConflict: the checkpoint is of a job with another hash.
[[nodiscard]] Result<ModelWeights> weights_of_checkpoint(const JobConfig& job,
                                                         const std::string& run_dir,
                                                         const CheckpointManifest& manifest);

// As safetensors; the metadata says job, job_hash, weights_xxh3 and what is in `origin`.
[[nodiscard]] Status write_model(const std::string& path, const JobConfig& job,
                                 const ModelWeights& weights, const TensorMetadata& origin);

// kInvalidInput: a tensor is missing, too many, or of another shape than the job's model has.
// kDataLoss: the file is damaged, or the weights are not those whose hash it carries.
[[nodiscard]] Result<ModelWeights> read_model(const std::string& path, const JobConfig& job);

}  // namespace ballast
