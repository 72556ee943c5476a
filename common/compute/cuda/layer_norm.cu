// The equations are in cpu/layer_norm.cc. A warp has a row.
#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/sums.cuh"

namespace ballast::cuda {
namespace {

__global__ void forward_kernel(const float* x, const float* gain, const float* bias, float epsilon,
                               float* mean, float* inverse_std, float* y, uint32_t rows,
                               uint32_t columns) {
  for_row_of_warp(rows, [&](uint32_t row, uint32_t lane) {
    const float* in = x + size_t{row} * columns;
    float* out = y + size_t{row} * columns;
    const auto width = static_cast<float>(columns);
    const float center = row_sum(columns, lane, [&](uint32_t c) { return in[c]; }) / width;
    const float variance = row_sum(columns, lane,
                                   [&](uint32_t c) {
                                     const float distance = in[c] - center;
                                     return distance * distance;
                                   }) /
                           width;
    const float inverse = 1.0f / sqrtf(variance + epsilon);
    for (uint32_t c = lane; c < columns; c += kWarp) {
      out[c] = (in[c] - center) * inverse * gain[c] + bias[c];
    }
    if (lane > 0) return;
    mean[row] = center;
    inverse_std[row] = inverse;
  });
}

__global__ void parameter_gradient_kernel(const float* x, const float* mean,
                                          const float* inverse_std, const float* dy, float* dgain,
                                          float* dbias, uint32_t rows, uint32_t columns) {
  sum_columns<2>(
      rows, columns,
      [&](uint32_t r, uint32_t c) {
        const size_t at = size_t{r} * columns + c;
        return Partial<2>{{dy[at] * ((x[at] - mean[r]) * inverse_std[r]), dy[at]}};
      },
      [&](uint32_t c, const Partial<2>& total) {
        dgain[c] = total.sum[0];
        dbias[c] = total.sum[1];
      });
}

__global__ void input_gradient_kernel(const float* x, const float* gain, const float* mean,
                                      const float* inverse_std, const float* dy, float* dx,
                                      uint32_t rows, uint32_t columns) {
  for_row_of_warp(rows, [&](uint32_t row, uint32_t lane) {
    const size_t start = size_t{row} * columns;
    const float *in = x + start, *grad = dy + start;
    const float center = mean[row], inverse = inverse_std[row];
    const auto width = static_cast<float>(columns);
    const float mean_g =
        row_sum(columns, lane, [&](uint32_t c) { return grad[c] * gain[c]; }) / width;
    const float mean_gh =
        row_sum(columns, lane,
                [&](uint32_t c) { return grad[c] * gain[c] * ((in[c] - center) * inverse); }) /
        width;
    for (uint32_t c = lane; c < columns; c += kWarp) {
      const float h = (in[c] - center) * inverse;
      dx[start + c] = (grad[c] * gain[c] - mean_g - h * mean_gh) * inverse;
    }
  });
}

}  // namespace

void layer_norm_forward(cudaStream_t stream, ConstMatrix x, ConstMatrix gain, ConstMatrix bias,
                        double epsilon, Matrix mean, Matrix inverse_std, Matrix y) {
  BALLAST_CHECK(y.size() == x.size() && gain.columns == x.columns && bias.columns == x.columns);
  BALLAST_CHECK(mean.columns == x.rows && inverse_std.columns == x.rows);
  if (x.size() == 0) return;
  forward_kernel<<<blocks_for_rows(x.rows), kThreads, 0, stream>>>(
      x.device_data, gain.device_data, bias.device_data, static_cast<float>(epsilon),
      mean.device_data, inverse_std.device_data, y.device_data, x.rows, x.columns);
}

void layer_norm_parameter_gradient(cudaStream_t stream, ConstMatrix x, ConstMatrix mean,
                                   ConstMatrix inverse_std, ConstMatrix dy, Matrix dgain,
                                   Matrix dbias) {
  BALLAST_CHECK(dy.size() == x.size() && dgain.columns == x.columns && dbias.columns == x.columns);
  if (x.columns == 0) return;
  parameter_gradient_kernel<<<blocks_for_columns(x.columns), kThreads, 0, stream>>>(
      x.device_data, mean.device_data, inverse_std.device_data, dy.device_data, dgain.device_data,
      dbias.device_data, x.rows, x.columns);
}

void layer_norm_input_gradient(cudaStream_t stream, ConstMatrix x, ConstMatrix gain,
                               ConstMatrix mean, ConstMatrix inverse_std, ConstMatrix dy,
                               Matrix dx) {
  BALLAST_CHECK(dy.size() == x.size() && dx.size() == x.size() && gain.columns == x.columns);
  if (x.size() == 0) return;
  input_gradient_kernel<<<blocks_for_rows(x.rows), kThreads, 0, stream>>>(
      x.device_data, gain.device_data, mean.device_data, inverse_std.device_data, dy.device_data,
      dx.device_data, x.rows, x.columns);
}

}  // namespace ballast::cuda
