// The model written out in double precision, slow and obvious, sharing no code with the product:
// the equations of worker/model and common/compute, once more. Gradients are central differences of
// its loss. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/config/job_config.h"

namespace ballast::testing {

struct ReferenceCase {
  ModelConfig model;
  uint32_t input_width = 0;
  std::vector<std::vector<double>> parameters;  // in the order of parameters_of()
  std::vector<float> features;                  // [rows, input_width]
  std::vector<float> labels;                    // [rows, label_width]
  std::vector<float> weights;                   // [rows], or empty: all 1
  uint32_t rows = 0;
  // Of dropout. training = false: dropout does nothing.
  bool training = true;
  uint64_t seed = 0;
  uint64_t clock = 0;
  uint32_t lane = 0;
};

// Raw outputs [rows, output width].
[[nodiscard]] std::vector<double> reference_outputs(const ReferenceCase& c);
// Sum over rows, each times its weight.
[[nodiscard]] double reference_loss(const ReferenceCase& c);
// d reference_loss / d parameters[parameter][element] by (L(w + h) - L(w - h)) / 2h, h = 1e-5: the
// truncation error is of the order h^2 = 1e-10, the rounding error 1e-16 * L / h = 1e-11 * L.
[[nodiscard]] double reference_derivative(ReferenceCase& c, size_t parameter, size_t element);

}  // namespace ballast::testing
