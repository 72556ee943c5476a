#include "worker/client/ballast_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "common/config/job_file.h"
#include "worker/client/cluster_reader.h"

struct ballast_client {
  std::unique_ptr<ballast::ClusterReader> reader;
  ballast::ModelWeights weights;
  std::vector<size_t> unit_counts;  // by tensor
  std::string error;
};

namespace ballast {
namespace {

int code_of(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
      return BALLAST_OK;
    case Code::kInvalidInput:
    case Code::kNotFound:
      return BALLAST_INVALID;
    case Code::kDeadline:
      return BALLAST_DEADLINE;
    case Code::kConflict:
      return BALLAST_PASSED;
    default:
      return BALLAST_FAILED;
  }
}

int settle(ballast_client& client, const Status& status) {
  if (status.ok()) return BALLAST_OK;
  client.error = status.to_string();
  const bool ended = client.reader && client.reader->ended();
  return ended && status.code() == Code::kUnavailable ? BALLAST_ENDED : code_of(status);
}

Status open(ballast_client& client, const std::string& run_dir) {
  BALLAST_ASSIGN(JobConfig job, load_job(run_dir + "/config.toml"));
  client.weights = blank_weights(job);
  client.unit_counts.assign(client.weights.parameters.size(), 0);
  for (const UnitSpec& unit : cut_units(client.weights.parameters, job.cluster.unit_bytes)) {
    ++client.unit_counts[unit.parameter];
  }
  BALLAST_ASSIGN(client.reader, ClusterReader::open(run_dir, std::move(job)));
  return Status();
}

Status check_index(const ballast_client& client, size_t index) {
  if (client.reader && index < client.weights.parameters.size()) return Status();
  return Status(Code::kInvalidInput,
                fmt::format("tensor {}: the client has {}", index,
                            client.reader ? client.weights.parameters.size() : 0));
}

Status pull(ballast_client& client, size_t index, Version version, Duration patience, float* values,
            uint64_t value_count, ballast_versions* versions) {
  BALLAST_RETURN_IF_ERROR(check_index(client, index));
  const std::vector<float>& pulled = client.weights.values[index];
  if (value_count != pulled.size()) {
    return Status(Code::kInvalidInput,
                  fmt::format("tensor {} has {} elements, room for {} given",
                              client.weights.parameters[index].name, pulled.size(), value_count));
  }
  const auto parameter = static_cast<uint32_t>(index);
  BALLAST_ASSIGN(const auto found,
                 client.reader->pull(std::span(&parameter, 1), version, patience, client.weights));
  std::ranges::copy(pulled, values);
  if (versions != nullptr) *versions = {found.least, found.highest};
  return Status();
}

Status pull_model(ballast_client& client, Duration patience, float* const* values,
                  ballast_versions* versions) {
  BALLAST_RETURN_IF_ERROR(check_index(client, 0));
  BALLAST_ASSIGN(const auto found, client.reader->pull_model(patience, client.weights));
  for (size_t i = 0; i < client.weights.values.size(); ++i) {
    std::ranges::copy(client.weights.values[i], values[i]);
  }
  if (versions != nullptr) *versions = {found.least, found.highest};
  return Status();
}

}  // namespace
}  // namespace ballast

int ballast_client_open(const char* run_dir, ballast_client** client) {
  *client = new ballast_client;  // owned by the caller until ballast_client_close
  return ballast::settle(**client, ballast::open(**client, run_dir));
}

void ballast_client_close(ballast_client* client) {
  delete client;
}

const char* ballast_client_error(const ballast_client* client) {
  return client->error.c_str();
}

size_t ballast_client_tensor_count(const ballast_client* client) {
  return client->weights.parameters.size();
}

int ballast_client_tensor(ballast_client* client, size_t index, ballast_tensor* tensor) {
  const ballast::Status status = ballast::check_index(*client, index);
  if (!status.ok()) return ballast::settle(*client, status);
  const ballast::ParameterSpec& parameter = client->weights.parameters[index];
  *tensor = {parameter.name.c_str(), parameter.shape.data(), parameter.shape.size(),
             parameter.element_count(), client->unit_counts[index]};
  return BALLAST_OK;
}

int ballast_client_pull(ballast_client* client, size_t index, uint64_t version, uint32_t timeout_ms,
                        float* values, uint64_t value_count, ballast_versions* versions) {
  return ballast::settle(
      *client, ballast::pull(*client, index, version, std::chrono::milliseconds(timeout_ms), values,
                             value_count, versions));
}

int ballast_client_pull_model(ballast_client* client, uint32_t timeout_ms, float* const* values,
                              ballast_versions* versions) {
  return ballast::settle(
      *client,
      ballast::pull_model(*client, std::chrono::milliseconds(timeout_ms), values, versions));
}
