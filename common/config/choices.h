// The words a job file uses for the values of each enum, in the enum's order. Pure; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "common/config/job_config.h"

namespace ballast {

template <typename Enum>
struct Choices;

template <>
struct Choices<Mode> {
  static constexpr std::string_view kNames[] = {"sync", "ssp", "async"};
};
template <>
struct Choices<Device> {
  static constexpr std::string_view kNames[] = {"cpu", "cuda"};
};
template <>
struct Choices<Order> {
  static constexpr std::string_view kNames[] = {"auto", "full", "strip", "none"};
};
template <>
struct Choices<Tail> {
  static constexpr std::string_view kNames[] = {"short", "pad", "drop"};
};
template <>
struct Choices<Durability> {
  static constexpr std::string_view kNames[] = {"checkpoint", "process", "machine"};
};
template <>
struct Choices<Precision> {
  static constexpr std::string_view kNames[] = {"fp32", "tf32", "bf16"};
};
template <>
struct Choices<OnBadGradient> {
  static constexpr std::string_view kNames[] = {"stop", "skip"};
};
template <>
struct Choices<PushKind> {
  static constexpr std::string_view kNames[] = {"gradient", "delta"};
};
template <>
struct Choices<TransportKind> {
  static constexpr std::string_view kNames[] = {"ipc", "tcp"};
};
template <>
struct Choices<LayerKind> {
  static constexpr std::string_view kNames[] = {"dense", "dropout", "layer_norm"};
};
template <>
struct Choices<Activation> {
  static constexpr std::string_view kNames[] = {"none", "relu", "gelu", "tanh", "sigmoid"};
};
template <>
struct Choices<LossKind> {
  static constexpr std::string_view kNames[] = {"softmax_cross_entropy", "sigmoid_cross_entropy",
                                                "mean_squared_error"};
};
template <>
struct Choices<OptimizerKind> {
  static constexpr std::string_view kNames[] = {"sgd",     "momentum", "nesterov", "adagrad",
                                                "rmsprop", "adam",     "adamw"};
};
template <>
struct Choices<ScheduleKind> {
  static constexpr std::string_view kNames[] = {"constant", "step", "cosine"};
};
template <>
struct Choices<TransformKind> {
  static constexpr std::string_view kNames[] = {
      "scale",       "standardize",   "log1p",        "clip",  "bucketize",    "hash",
      "one_hot",     "multi_hot",     "pad",          "cross", "filter",       "random_crop",
      "random_flip", "random_rotate", "random_shift", "noise", "token_dropout"};
};
template <>
struct Choices<Relation> {
  static constexpr std::string_view kNames[] = {"==", "!=", "<", "<=", ">", ">="};
};
template <>
struct Choices<PixelLayout> {
  static constexpr std::string_view kNames[] = {"hwc", "chw"};
};
template <>
struct Choices<Balance> {
  static constexpr std::string_view kNames[] = {"none", "weights", "oversample", "undersample"};
};

template <typename Enum>
[[nodiscard]] constexpr std::span<const std::string_view> choice_names() {
  return Choices<Enum>::kNames;
}

// "softmax_cross_entropy" for LossKind::kSoftmaxCrossEntropy.
template <typename Enum>
[[nodiscard]] constexpr std::string_view name_of(Enum value) {
  return Choices<Enum>::kNames[static_cast<size_t>(value)];
}

}  // namespace ballast
