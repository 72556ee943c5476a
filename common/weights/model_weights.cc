#include "common/weights/model_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "common/base/hash.h"
#include "common/config/job_dump.h"

namespace ballast {
namespace {

constexpr const char* kHashKey = "weights_xxh3";

Status check_hash(const std::string& path, const SafetensorsFile& file) {
  const auto stored = file.metadata.find(kHashKey);
  if (stored == file.metadata.end()) return Status();  // written by somebody else
  const std::string found = hex64(weights_xxh3(file.tensors));
  if (stored->second == found) return Status();
  return Status(Code::kDataLoss,
                fmt::format("{}: the weights are damaged: {} stored {}, found {}; write it again "
                            "with `ballast export`",
                            path, kHashKey, stored->second, found));
}

Status take_tensor(const std::string& path, const SafetensorsFile& file,
                   const ParameterSpec& parameter, std::vector<float>& values) {
  const auto tensor =
      std::find_if(file.tensors.begin(), file.tensors.end(),
                   [&](const Tensor& candidate) { return candidate.name == parameter.name; });
  if (tensor == file.tensors.end()) {
    return Status(
        Code::kInvalidInput,
        fmt::format("{}: no tensor {}, which the model of the job has", path, parameter.name));
  }
  if (tensor->shape != parameter.shape) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: tensor {} has shape [{}], the model of the job has [{}]", path,
                              parameter.name, fmt::join(tensor->shape, ", "),
                              fmt::join(parameter.shape, ", ")));
  }
  values.assign(tensor->values.begin(), tensor->values.end());
  return Status();
}

}  // namespace

std::vector<Tensor> ModelWeights::tensors() const {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < parameters.size(); ++i) {
    tensors.push_back({parameters[i].name, parameters[i].shape, values[i]});
  }
  return tensors;
}

std::string ModelWeights::xxh3() const {
  return hex64(weights_xxh3(tensors()));
}

Status ModelWeights::put(const UnitSpec& unit, std::span<const std::byte> floats) {
  if (floats.size() != unit.bytes()) {
    return Status(Code::kDataLoss,
                  fmt::format("unit {} of {}: {} bytes expected, {} found", unit.id.value(),
                              parameters.at(unit.parameter).name, unit.bytes(), floats.size()));
  }
  std::memcpy(values.at(unit.parameter).data() + unit.first_element, floats.data(), floats.size());
  return Status();
}

ModelWeights blank_weights(const JobConfig& job) {
  ModelWeights weights;
  weights.parameters = parameters_of(job.model, job.resolved.input_width);
  for (const ParameterSpec& parameter : weights.parameters) {
    weights.values.emplace_back(parameter.element_count());
  }
  return weights;
}

Result<ModelWeights> weights_of_checkpoint(const JobConfig& job, const std::string& run_dir,
                                           const CheckpointManifest& manifest) {
  if (manifest.job_hash != job_hash(job)) {
    return Status(Code::kConflict,
                  fmt::format("checkpoint {} of {} is of the job with hash {}, config.toml is of "
                              "{}; a key that fixes the result was changed: take it back",
                              manifest.id, run_dir, manifest.job_hash, job_hash(job)));
  }
  ModelWeights weights = blank_weights(job);
  // One unit at a time: an image brings the optimizer's state along.
  for (const UnitSpec& unit : cut_units(weights.parameters, job.cluster.unit_bytes)) {
    BALLAST_ASSIGN(const std::vector<UnitImage> images,
                   load_units(run_dir, manifest, std::span(&unit.id, 1)));
    BALLAST_RETURN_IF_ERROR(weights.put(unit, images.front().weights.bytes()));
  }
  return weights;
}

Status write_model(const std::string& path, const JobConfig& job, const ModelWeights& weights,
                   const TensorMetadata& origin) {
  TensorMetadata metadata = origin;
  metadata["job"] = job.name;
  metadata["job_hash"] = job_hash(job);
  metadata[kHashKey] = weights.xxh3();
  return write_safetensors(path, weights.tensors(), metadata);
}

Result<ModelWeights> read_model(const std::string& path, const JobConfig& job) {
  BALLAST_ASSIGN(const SafetensorsFile file, read_safetensors(path));
  BALLAST_RETURN_IF_ERROR(check_hash(path, file));
  ModelWeights weights = blank_weights(job);
  for (size_t i = 0; i < weights.parameters.size(); ++i) {
    BALLAST_RETURN_IF_ERROR(take_tensor(path, file, weights.parameters[i], weights.values[i]));
  }
  if (file.tensors.size() == weights.parameters.size()) return weights;
  return Status(Code::kInvalidInput,
                fmt::format("{}: {} tensors found, the model of the job has {}", path,
                            file.tensors.size(), weights.parameters.size()));
}

}  // namespace ballast
