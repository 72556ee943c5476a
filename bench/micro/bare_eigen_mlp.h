// The floor of the training step: the same MLP as a plain loop over Eigen matrices, as one would
// write it by hand for this one model. Softmax cross-entropy, relu, SGD. It runs with the cache
// sizes Eigen detects, as a bare program would; afterwards those set before are back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ballast::bench {

class BareEigenMlp {
 public:
  // widths: input, hidden ..., classes.
  BareEigenMlp(const std::vector<uint32_t>& widths, uint32_t rows);
  ~BareEigenMlp();
  BareEigenMlp(BareEigenMlp&&) noexcept;

  // weight[in, out] and bias[out], row-major, of layer `layer`.
  void set(uint32_t layer, std::span<const float> weight, std::span<const float> bias);
  // One step over features[rows, input] and labels[rows]; returns the sum of losses before it.
  double step(std::span<const float> features, std::span<const float> labels, float learning_rate);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace ballast::bench
