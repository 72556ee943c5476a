// A model with random weights and rows, as the step and as the reference take it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "common/base/random.h"
#include "common/compute/backend.h"
#include "tests/support/reference_model.h"
#include "worker/train_step.h"

namespace ballast::testing {

inline std::unique_ptr<Backend> cpu_backend() {
  return std::move(make_backend(Device::kCpu, {})).value();
}

inline GradientSet gradients_for(const TrainStep& step) {
  GradientSet set;
  for (const ParameterSpec& parameter : step.parameters()) {
    set.parameters.push_back(Buffer::allocate(parameter.element_count() * sizeof(float)));
  }
  return set;
}

// Weights near their first values, biases and gains moved off 0 and 1 so that mistakes show.
inline ReferenceCase random_case(const ModelConfig& model, uint32_t input_width,
                                 uint32_t output_width, uint32_t rows, uint64_t seed) {
  Random random(seed);
  ReferenceCase c;
  c.model = model;
  c.input_width = input_width;
  c.rows = rows;
  c.seed = seed;
  c.clock = 5;
  c.lane = 3;
  const auto parameters = parameters_of(model, input_width);
  for (uint32_t p = 0; p < parameters.size(); ++p) {
    std::vector<float> first(parameters[p].element_count());
    fill_initial(parameters[p], p, seed, 0, first);
    std::vector<double> values(first.begin(), first.end());
    for (double& value : values) {
      value = static_cast<float>(value + 0.2 * random.normal());
    }
    c.parameters.push_back(values);
  }
  for (uint32_t i = 0; i < rows * input_width; ++i) {
    c.features.push_back(static_cast<float>(random.normal()));
  }
  const bool classes = model.loss == LossKind::kSoftmaxCrossEntropy;
  for (uint32_t i = 0; i < rows * (classes ? 1 : output_width); ++i) {
    if (classes) c.labels.push_back(static_cast<float>(random.below(output_width)));
    if (model.loss == LossKind::kSigmoidCrossEntropy)
      c.labels.push_back(random.chance(0.5) ? 1 : 0);
    if (model.loss == LossKind::kMeanSquaredError) {
      c.labels.push_back(static_cast<float>(random.normal()));
    }
  }
  return c;
}

inline std::unique_ptr<TrainStep> step_of(const ReferenceCase& c, Backend& backend,
                                          uint32_t rows_max, bool sums_batches = false) {
  auto step =
      TrainStep::create(c.model, c.input_width, static_cast<uint32_t>(c.labels.size() / c.rows),
                        rows_max, backend, sums_batches);
  EXPECT_TRUE(step.ok()) << step.status().to_string();
  for (uint32_t p = 0; p < c.parameters.size(); ++p) {
    const std::span<float> weights = (*step)->weights(p);
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] = static_cast<float>(c.parameters[p][i]);
    }
  }
  return std::move(step).value();
}

inline StepRows rows_of(const ReferenceCase& c) {
  return {c.features, c.labels, c.weights, c.rows};
}

inline StepContext context_of(const ReferenceCase& c) {
  return {.seed = c.seed, .batch = c.clock, .lane = LaneId(c.lane)};
}

}  // namespace ballast::testing
