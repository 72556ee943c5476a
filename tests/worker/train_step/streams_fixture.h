// Cases for steps on a device that does everything late: models, rows that are lent for one call,
// and all that a job sees, to be compared with a device that does everything at once.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "tests/worker/train_step/step_fixture.h"

namespace ballast::testing {

inline constexpr uint64_t kSeeds = 60;
inline constexpr uint32_t kRows = 6;
inline constexpr uint32_t kBatches = 100;
inline constexpr float kJunk = std::numeric_limits<float>::quiet_NaN();

// All that a job sees of its steps.
struct Seen {
  std::vector<float> values;  // gradients when they were handed over, predictions
  std::vector<double> losses;

  bool operator==(const Seen& other) const {
    return losses == other.losses && values.size() == other.values.size() &&
           std::memcmp(values.data(), other.values.data(), values.size() * sizeof(float)) == 0;
  }
};

// No dropout, so that a device may keep its steps as graphs.
inline ReferenceCase plain_case() {
  ModelConfig model;
  model.layers = {{.kind = LayerKind::kDense, .units = 9, .activation = Activation::kGelu},
                  {.kind = LayerKind::kLayerNorm},
                  {.kind = LayerKind::kDense, .units = 4}};
  return random_case(model, 5, 4, kRows, 4);
}

inline ReferenceCase dropout_case() {
  ModelConfig model;
  model.layers = {{.kind = LayerKind::kDense, .units = 9, .activation = Activation::kGelu},
                  {.kind = LayerKind::kDropout, .rate = 0.25},
                  {.kind = LayerKind::kLayerNorm},
                  {.kind = LayerKind::kDense, .units = 8, .activation = Activation::kRelu},
                  {.kind = LayerKind::kDense, .units = 4}};
  return random_case(model, 5, 4, kRows, 3);
}

// What is lent for one call, and gone after it.
class Lent {
 public:
  Lent(const ReferenceCase& c, uint32_t batch) {
    for (float value : c.features) features_.push_back(value + 0.125f * static_cast<float>(batch));
    labels_ = c.labels;
    for (uint32_t row = 0; row < c.rows; ++row) weights_.push_back(1.0f + (row + batch) % 3);
  }
  ~Lent() {
    for (auto* values : {&features_, &labels_, &weights_}) std::ranges::fill(*values, kJunk);
  }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

  // The first `count`.
  [[nodiscard]] StepRows rows(uint32_t count, bool weighted) const {
    const std::span<const float> features(features_), weights(weights_);
    return {features.first(features.size() / kRows * count),
            std::span(labels_).first(labels_.size() / kRows * count),
            weighted ? weights.first(count) : weights.first(0), count};
  }

 private:
  std::vector<float> features_, labels_, weights_;
};

// What a step hands over of a layer: what comes after must not reach it.
inline void give_away(uint32_t layer, const TrainStep& step, GradientSet& set,
                      std::vector<float>& values) {
  for (size_t p = 0; p < set.parameters.size(); ++p) {
    if (step.parameters()[p].layer != layer) continue;
    const Buffer taken =
        std::exchange(set.parameters[p], Buffer::allocate(set.parameters[p].size()));
    values.insert(values.end(), taken.floats().begin(), taken.floats().end());
  }
}

// Weights as servers give them: in parts, some of them twice, or written as a whole.
class ChangingWeights {
 public:
  explicit ChangingWeights(TrainStep& step) : step_(step) {
    for (uint32_t p = 0; p < step.parameters().size(); ++p) {
      const std::span<const float> begin = step.weights(p);
      values_.emplace_back(begin.begin(), begin.end());
    }
  }

  void change(uint32_t batch) {
    for (uint32_t p = 0; p < values_.size(); ++p) {
      const uint64_t drawn = hash_numbers({10, batch, p});
      if (drawn % 4 == 0) take(p, 0, values_[p].size(), kJunk);  // newer ones follow
      for (float& weight : values_[p]) weight += 0.01f * static_cast<float>(batch + p);
      if (drawn % 3 == 0) {
        std::ranges::copy(values_[p], step_.weights(p).begin());
        continue;
      }
      const size_t middle = drawn / 4 % values_[p].size();
      take(p, middle, values_[p].size());
      if (middle > 0) take(p, 0, middle);
    }
  }

 private:
  // Elements [first, end), or `instead` of each.
  void take(uint32_t p, size_t first, size_t end, std::optional<float> instead = {}) {
    std::vector<float> lent(values_[p].begin() + static_cast<std::ptrdiff_t>(first),
                            values_[p].begin() + static_cast<std::ptrdiff_t>(end));
    if (instead) std::ranges::fill(lent, *instead);
    step_.take_weights(p, first, std::as_bytes(std::span(lent)));
    std::ranges::fill(lent, kJunk);
  }

  TrainStep& step_;
  std::vector<std::vector<float>> values_;  // by parameter
};

}  // namespace ballast::testing
