// What must hold between a model, its input and its labels, found out before anything starts, and
// the model in words for people. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

// Width of what the model puts out.
[[nodiscard]] uint32_t output_width(const ModelConfig& model, uint32_t input_width);

// kInvalidInput: names the layer, what was found and what would fit. The softmax takes one column
// of class ids and has a unit per class; the other losses take as many label columns as units.
[[nodiscard]] Status check_model(const ModelConfig& model, uint32_t input_width,
                                 uint32_t label_width);

// labels[rows, label_width]: class ids in [0, units), 0 or 1, or finite numbers, as the loss wants.
// kInvalidInput: the row where there are several, the value found and what is allowed.
[[nodiscard]] Status check_labels(LossKind loss, uint32_t units, std::span<const float> labels,
                                  uint32_t rows);

// One line a layer with its shape and number of parameters, and a line with the sum.
[[nodiscard]] std::string describe_model(const ModelConfig& model, uint32_t input_width);

}  // namespace ballast
