// The equations are in cpu/activations.cc.
#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"
#include "common/compute/with_activation.h"

namespace ballast::cuda {
namespace {

__device__ float gelu_tanh(float z) {
  return tanhf(kGeluScale * (z + kGeluCube * (z * z * z)));
}

template <Activation kActivation>
__device__ float value(float z) {
  if constexpr (kActivation == Activation::kRelu) return z < 0.0f ? 0.0f : z;  // keeps NaN
  if constexpr (kActivation == Activation::kTanh) return tanhf(z);
  if constexpr (kActivation == Activation::kSigmoid) return 1.0f / (1.0f + expf(-z));
  if constexpr (kActivation == Activation::kGelu) return 0.5f * z * (1.0f + gelu_tanh(z));
  return z;
}

template <Activation kActivation>
__device__ float backward(float z_or_y, float dy) {
  const float y = z_or_y;
  if constexpr (kActivation == Activation::kRelu) return y > 0.0f ? dy : 0.0f;
  if constexpr (kActivation == Activation::kTanh) return dy * (1.0f - y * y);
  if constexpr (kActivation == Activation::kSigmoid) return dy * (y * (1.0f - y));
  if constexpr (kActivation == Activation::kGelu) {
    const float z = z_or_y;
    const float t = gelu_tanh(z);
    const float slope = kGeluScale * (1.0f + 3.0f * kGeluCube * (z * z));
    return dy * (0.5f * (1.0f + t + z * (1.0f - t * t) * slope));
  }
  return dy;
}

template <Activation kActivation>
__global__ void forward_kernel(const float* bias, float* z, float* y, uint32_t columns,
                               size_t count) {
  for_elements(count, [&](size_t i) {
    const float sum = bias == nullptr ? y[i] : y[i] + bias[i % columns];
    if (z != nullptr) z[i] = sum;
    y[i] = value<kActivation>(sum);
  });
}

template <Activation kActivation>
__global__ void backward_kernel(const float* z_or_y, const float* dy, float* dz, size_t count) {
  for_elements(count, [&](size_t i) { dz[i] = backward<kActivation>(z_or_y[i], dy[i]); });
}

}  // namespace

void bias_activation(cudaStream_t stream, ConstMatrix bias, Activation activation, Matrix z,
                     Matrix y) {
  BALLAST_CHECK(bias.empty() || bias.columns == y.columns);
  BALLAST_CHECK(z.empty() || z.size() == y.size());
  if (y.size() == 0) return;
  if (bias.empty() && z.empty() && activation == Activation::kNone) return;
  with_activation(activation, [&]<Activation kActivation>() {
    forward_kernel<kActivation><<<blocks_for(y.size()), kThreads, 0, stream>>>(
        bias.device_data, z.device_data, y.device_data, y.columns, y.size());
  });
}

void activation_backward(cudaStream_t stream, Activation activation, ConstMatrix z_or_y,
                         ConstMatrix dy, Matrix dz) {
  BALLAST_CHECK(z_or_y.size() == dy.size() && dz.size() == dy.size());
  if (dz.size() == 0) return;
  if (activation == Activation::kNone && dz.device_data == dy.device_data) return;
  with_activation(activation, [&]<Activation kActivation>() {
    backward_kernel<kActivation><<<blocks_for(dz.size()), kThreads, 0, stream>>>(
        z_or_y.device_data, dy.device_data, dz.device_data, dz.size());
  });
}

}  // namespace ballast::cuda
