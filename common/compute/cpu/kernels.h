// The loops of the CPU back end, one noun a file: activations.cc, convert.cc, dot_interaction.cc,
// dropout.cc, layer_norm.cc, losses.cc, segment_sum.cc, updates.cc. Contracts in backend.h. Sums
// run in a fixed order that depends on shapes only. Pure; any thread.
#pragma once

#include "common/compute/backend.h"

namespace ballast::cpu {

void convert(StoredMatrix x, ConstMatrix center, ConstMatrix factor, ConstMatrix shift, Matrix y);

// In place on y[n, d], which holds x w: adds bias[1, d] (or nothing when empty), keeps the result
// in z unless z is empty, and applies the activation.
void bias_activation(ConstMatrix bias, Activation activation, Matrix z, Matrix y);
void activation_backward(Activation activation, ConstMatrix z, ConstMatrix y, ConstMatrix dy,
                         Matrix dz);
// sums[1, d] = the sum of the rows of x[n, d], first row first.
void column_sums(ConstMatrix x, Matrix sums);
void add_to(ConstMatrix x, Matrix into);

void dropout(ConstMatrix x, double rate, const DropoutKey& key, Matrix y);

void layer_norm_forward(ConstMatrix x, ConstMatrix gain, ConstMatrix bias, double epsilon,
                        Matrix mean, Matrix inverse_std, Matrix y);
void layer_norm_parameter_gradient(ConstMatrix x, ConstMatrix mean, ConstMatrix inverse_std,
                                   ConstMatrix dy, Matrix dgain, Matrix dbias);
void layer_norm_input_gradient(ConstMatrix x, ConstMatrix gain, ConstMatrix mean,
                               ConstMatrix inverse_std, ConstMatrix dy, Matrix dx);

void segment_sum(ConstMatrix x, ConstIndices rows, ConstIndices starts, ConstMatrix scales,
                 Matrix y);

void dot_interaction_forward(ConstMatrix x, uint32_t vectors, Matrix y);
void dot_interaction_backward(ConstMatrix x, uint32_t vectors, ConstMatrix dy, Matrix dx);

void loss(LossKind kind, ConstMatrix z, ConstMatrix labels, ConstMatrix weights, Matrix row_loss,
          Matrix row_correct, Matrix dz);
void predict(LossKind kind, ConstMatrix z, Matrix y);

void update(const OptimizerConfig& config, const UpdateArgs& args, ConstMatrix gradient,
            Matrix weights, std::span<const Matrix> state);
void difference(ConstMatrix now, ConstMatrix before, float factor, Matrix changes);

[[nodiscard]] bool has_non_finite(ConstMatrix values);

}  // namespace ballast::cpu
