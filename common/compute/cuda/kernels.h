// The kernels of the CUDA back end, one noun a file: activations.cu, convert.cu,
// dot_interaction.cu, dropout.cu, layer_norm.cu, losses.cu, segment_sum.cu, sums.cu, updates.cu.
// Contracts in backend.h; each launch is put on the stream and returns, and what is wrong with it
// is what cudaGetLastError() then says. No sum uses atomics: every one is joined in an order that
// follows from the shapes. Any thread that has selected the device.
#pragma once

#include <cuda_runtime_api.h>

#include "common/compute/backend.h"

namespace ballast::cuda {

void convert(cudaStream_t stream, StoredMatrix x, ConstMatrix center, ConstMatrix factor,
             ConstMatrix shift, Matrix y);

// In place on y[n, d], which holds x w: adds bias[1, d] (or nothing when empty), keeps the result
// in z unless z is empty, and applies the activation.
void bias_activation(cudaStream_t stream, ConstMatrix bias, Activation activation, Matrix z,
                     Matrix y);
// z_or_y: what the derivative is taken from.
void activation_backward(cudaStream_t stream, Activation activation, ConstMatrix z_or_y,
                         ConstMatrix dy, Matrix dz);

// sums[1, d] = the sum of the rows of x[n, d].
void column_sums(cudaStream_t stream, ConstMatrix x, Matrix sums);
// into += x.
void add_to(cudaStream_t stream, ConstMatrix x, Matrix into);
void update(cudaStream_t stream, const OptimizerConfig& config, const UpdateArgs& args,
            ConstMatrix gradient, Matrix weights, std::span<const Matrix> state);
void difference(cudaStream_t stream, ConstMatrix now, ConstMatrix before, float factor,
                Matrix changes);
// rounded: matrix.size() values of bf16, to the nearest, halves to even; at a multiple of 16 bytes.
void round_to_bf16(cudaStream_t stream, ConstMatrix matrix, void* rounded);
// found[1, 1] = 1 if any value is NaN or infinite, else 0.
void find_non_finite(cudaStream_t stream, ConstMatrix values, Matrix found);

void dropout(cudaStream_t stream, ConstMatrix x, double rate, const DropoutKey& key, Matrix y);

void layer_norm_forward(cudaStream_t stream, ConstMatrix x, ConstMatrix gain, ConstMatrix bias,
                        double epsilon, Matrix mean, Matrix inverse_std, Matrix y);
void layer_norm_parameter_gradient(cudaStream_t stream, ConstMatrix x, ConstMatrix mean,
                                   ConstMatrix inverse_std, ConstMatrix dy, Matrix dgain,
                                   Matrix dbias);
void layer_norm_input_gradient(cudaStream_t stream, ConstMatrix x, ConstMatrix gain,
                               ConstMatrix mean, ConstMatrix inverse_std, ConstMatrix dy,
                               Matrix dx);

// scratch: kSegmentScratchFloats at a multiple of 16 bytes, which no other stream writes; not
// needed below kSegmentScratchItems items.
inline constexpr size_t kSegmentScratchFloats = size_t{1} << 22;
inline constexpr size_t kSegmentScratchItems = 128;
void segment_sum(cudaStream_t stream, ConstMatrix x, ConstIndices rows, ConstIndices starts,
                 ConstMatrix scales, float* scratch, Matrix y);

void dot_interaction_forward(cudaStream_t stream, ConstMatrix x, uint32_t vectors, Matrix y);
void dot_interaction_backward(cudaStream_t stream, ConstMatrix x, uint32_t vectors, ConstMatrix dy,
                              Matrix dx);

void loss(cudaStream_t stream, LossKind kind, ConstMatrix z, ConstMatrix labels,
          ConstMatrix weights, Matrix row_loss, Matrix row_correct, Matrix dz);
void predict(cudaStream_t stream, LossKind kind, ConstMatrix z, Matrix y);

}  // namespace ballast::cuda
