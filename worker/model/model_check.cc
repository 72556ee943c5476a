#include "worker/model/model_check.h"

#include <fmt/format.h>

#include <cmath>

#include "common/base/check.h"
#include "common/placement/parameters.h"

namespace ballast {
namespace {

Status bad(std::string message) {
  return Status(Code::kInvalidInput, std::move(message));
}

Status check_layer(const LayerConfig& layer, uint32_t index) {
  switch (layer.kind) {
    case LayerKind::kDense:
      if (layer.units == 0) {
        return bad(fmt::format("layer {} (dense): units is 0; it needs at least 1", index));
      }
      break;
    case LayerKind::kDropout:
      if (!(layer.rate >= 0 && layer.rate < 1)) {
        return bad(fmt::format("layer {} (dropout): rate is {}; allowed are 0 <= rate < 1", index,
                               layer.rate));
      }
      break;
    case LayerKind::kLayerNorm:
      if (!(layer.epsilon > 0)) {
        return bad(fmt::format("layer {} (layer_norm): epsilon is {}; it must be above 0", index,
                               layer.epsilon));
      }
      break;
  }
  return Status();
}

std::string_view loss_name(LossKind loss) {
  switch (loss) {
    case LossKind::kSoftmaxCrossEntropy:
      return "softmax_cross_entropy";
    case LossKind::kSigmoidCrossEntropy:
      return "sigmoid_cross_entropy";
    case LossKind::kMeanSquaredError:
      return "mean_squared_error";
  }
  return "";
}

std::string_view activation_name(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kRelu:
      return "relu";
    case Activation::kGelu:
      return "gelu";
    case Activation::kTanh:
      return "tanh";
    case Activation::kSigmoid:
      return "sigmoid";
  }
  return "";
}

Status check_loss(const ModelConfig& model, uint32_t input_width, uint32_t label_width) {
  const uint32_t units = output_width(model, input_width);
  const auto last = model.layers.size() - 1;
  if (model.loss == LossKind::kSoftmaxCrossEntropy) {
    if (label_width != 1) {
      return bad(
          fmt::format("loss softmax_cross_entropy takes one column of class ids as label, "
                      "found {} columns; name one column, or use sigmoid_cross_entropy",
                      label_width));
    }
    if (units < 2) {
      return bad(
          fmt::format("loss softmax_cross_entropy: layer {} puts out {} value per row; it "
                      "needs one per class, at least 2",
                      last, units));
    }
  } else if (units != label_width) {
    return bad(
        fmt::format("loss {}: layer {} puts out {} values per row and the label has {}; set "
                    "units of the last dense layer to {}",
                    loss_name(model.loss), last, units, label_width, label_width));
  }
  return Status();
}

bool label_allowed(LossKind loss, uint32_t units, float label) {
  switch (loss) {
    case LossKind::kSoftmaxCrossEntropy:
      return label >= 0 && label < static_cast<float>(units) && label == std::floor(label);
    case LossKind::kSigmoidCrossEntropy:
      return label == 0 || label == 1;
    case LossKind::kMeanSquaredError:
      return std::isfinite(label);
  }
  return false;
}

std::string labels_allowed(LossKind loss, uint32_t units) {
  switch (loss) {
    case LossKind::kSoftmaxCrossEntropy:
      return fmt::format("a class id, a whole number from 0 to {}", units - 1);
    case LossKind::kSigmoidCrossEntropy:
      return "0 or 1";
    case LossKind::kMeanSquaredError:
      return "a finite number";
  }
  return "";
}

std::string describe_layer(const LayerConfig& layer, uint32_t in, uint32_t out) {
  switch (layer.kind) {
    case LayerKind::kDense:
      return fmt::format("dense      [{} -> {}]{}{}", in, out,
                         layer.activation == Activation::kNone
                             ? ""
                             : fmt::format(" {}", activation_name(layer.activation)),
                         layer.bias ? "" : " without bias");
    case LayerKind::kDropout:
      return fmt::format("dropout    [{}] rate {}", out, layer.rate);
    case LayerKind::kLayerNorm:
      return fmt::format("layer_norm [{}] epsilon {}", out, layer.epsilon);
  }
  return "";
}

}  // namespace

uint32_t output_width(const ModelConfig& model, uint32_t input_width) {
  uint32_t width = input_width;
  for (const LayerConfig& layer : model.layers) {
    if (layer.kind == LayerKind::kDense) width = layer.units;
  }
  return width;
}

Status check_model(const ModelConfig& model, uint32_t input_width, uint32_t label_width) {
  if (input_width == 0) return bad("model: the features have width 0; name at least one column");
  if (label_width == 0) return bad("model: the label has width 0; name a label column");
  for (uint32_t index = 0; index < model.layers.size(); ++index) {
    BALLAST_RETURN_IF_ERROR(check_layer(model.layers[index], index));
  }
  if (parameters_of(model, input_width).empty()) {
    return bad("model: no layer has parameters to train; add a [[layer]] of kind dense");
  }
  return check_loss(model, input_width, label_width);
}

Status check_labels(LossKind loss, uint32_t units, std::span<const float> labels, uint32_t rows) {
  BALLAST_CHECK(rows > 0 && labels.size() % rows == 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!label_allowed(loss, units, labels[i])) [[unlikely]] {
      const std::string where =
          rows == 1 ? "" : fmt::format(" at row {}", i / (labels.size() / rows));
      return bad(fmt::format("label out of range{}: found {}, allowed for {} is {}", where,
                             labels[i], loss_name(loss), labels_allowed(loss, units)));
    }
  }
  return Status();
}

std::string describe_model(const ModelConfig& model, uint32_t input_width) {
  const std::vector<ParameterSpec> parameters = parameters_of(model, input_width);
  std::string text;
  uint64_t total = 0;
  uint32_t width = input_width;
  for (uint32_t index = 0; index < model.layers.size(); ++index) {
    const LayerConfig& layer = model.layers[index];
    const uint32_t in = width;
    if (layer.kind == LayerKind::kDense) width = layer.units;
    uint64_t count = 0;
    for (const ParameterSpec& parameter : parameters) {
      if (parameter.layer == index) count += parameter.element_count();
    }
    total += count;
    text += fmt::format("layer {}: {}, {} parameters\n", index, describe_layer(layer, in, width),
                        count);
  }
  return text + fmt::format("loss {}, {} parameters, {:.2f} MiB of weights\n",
                            loss_name(model.loss), total,
                            static_cast<double>(total) * sizeof(float) / (1 << 20));
}

}  // namespace ballast
