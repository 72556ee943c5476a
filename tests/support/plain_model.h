// A model of dense and dropout layers on a Backend, for the plain loop: names, shapes and first
// values of its tensors as common/placement/parameters.h says, forward, loss and backward as
// common/compute/backend.h says, dropout keyed as DropoutKey says. Memory is taken anew for every
// call. Fails the test when the back end does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/compute/backend.h"
#include "common/config/job_config.h"

namespace ballast::testing {

struct PlainTensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;

  bool operator==(const PlainTensor&) const = default;
};

struct PlainGradient {
  std::vector<std::vector<float>> tensors;  // sums over rows
  double loss_sum = 0;
  double weight_sum = 0;
  uint64_t rows = 0;
};

class PlainModel {
 public:
  // Reads seed, model, cluster.threads_per_worker and resolved.input_width, label_width.
  explicit PlainModel(const JobConfig& job);

  // In layer order, a weight before its bias. To be trained.
  std::vector<PlainTensor> tensors;

  // Of features[rows, input_width], labels[rows, label_width] and weights[rows], the rows of one
  // lane in one step.
  [[nodiscard]] PlainGradient gradient(const std::vector<float>& features,
                                       const std::vector<float>& labels,
                                       const std::vector<float>& weights, uint64_t step,
                                       uint32_t lane);

 private:
  // What the backward pass of a layer needs of its forward pass; z and weight of dense layers.
  struct Pass {
    Matrix x, z, y, weight;
  };

  Matrix forward(Matrix x, std::vector<Pass>& passes);
  Matrix loss(Matrix outputs, Matrix labels, const std::vector<float>& weights,
              PlainGradient& result);
  void backward(const std::vector<Pass>& passes, Matrix dy, PlainGradient& result);
  [[nodiscard]] DropoutKey dropout_key(uint32_t layer) const;
  Matrix matrix(uint32_t rows, uint32_t columns);
  Matrix on_device(const std::vector<float>& values, uint64_t rows);
  std::vector<float> on_host(Matrix from);

  const JobConfig job_;
  std::unique_ptr<Backend> backend_;
  StreamId stream_;
  std::vector<DeviceBuffer> memory_;  // of the call under way
  uint64_t step_ = 0;                 // likewise
  uint32_t lane_ = 0;                 // likewise
};

}  // namespace ballast::testing
