// Per row of d columns: h = (x - mean) / std, y = h * gain + bias. Backward, with g = dy * gain:
//   dx = (g - mean(g) - h * mean(g * h)) / std
//   dgain = sum over rows of dy * h,  dbias = sum over rows of dy
#include <cmath>
#include <cstring>

#include "common/base/check.h"
#include "common/base/vectorize.h"
#include "common/compute/cpu/kernels.h"
#include "common/compute/cpu/reduce.h"

namespace ballast::cpu {
namespace {

const float* row_of(ConstMatrix m, uint32_t row) {
  return m.device_data + size_t{row} * m.columns;
}

}  // namespace

void layer_norm_forward(ConstMatrix x, ConstMatrix gain, ConstMatrix bias, double epsilon,
                        Matrix mean, Matrix inverse_std, Matrix y) {
  BALLAST_CHECK(y.size() == x.size() && gain.columns == x.columns && bias.columns == x.columns);
  BALLAST_CHECK(mean.columns == x.rows && inverse_std.columns == x.rows);
  const auto width = static_cast<float>(x.columns);
  for (uint32_t r = 0; r < x.rows; ++r) {
    const float* in = row_of(x, r);
    const float center = sum(x.columns, [&](size_t c) { return in[c]; }) / width;
    const float variance = sum(x.columns,
                               [&](size_t c) {
                                 const float distance = in[c] - center;
                                 return distance * distance;
                               }) /
                           width;
    const float inverse = 1.0f / std::sqrt(variance + static_cast<float>(epsilon));
    float* out = y.device_data + size_t{r} * y.columns;
    BALLAST_INDEPENDENT_ITERATIONS
    for (uint32_t c = 0; c < x.columns; ++c) {
      out[c] = (in[c] - center) * inverse * gain.device_data[c] + bias.device_data[c];
    }
    mean.device_data[r] = center;
    inverse_std.device_data[r] = inverse;
  }
}

void layer_norm_parameter_gradient(ConstMatrix x, ConstMatrix mean, ConstMatrix inverse_std,
                                   ConstMatrix dy, Matrix dgain, Matrix dbias) {
  BALLAST_CHECK(dy.size() == x.size() && dgain.columns == x.columns && dbias.columns == x.columns);
  std::memset(dgain.device_data, 0, dgain.size() * sizeof(float));
  std::memset(dbias.device_data, 0, dbias.size() * sizeof(float));
  for (uint32_t r = 0; r < x.rows; ++r) {
    const float* in = row_of(x, r);
    const float* grad = row_of(dy, r);
    const float center = mean.device_data[r];
    const float inverse = inverse_std.device_data[r];
    BALLAST_INDEPENDENT_ITERATIONS
    for (uint32_t c = 0; c < x.columns; ++c) {
      dgain.device_data[c] += grad[c] * ((in[c] - center) * inverse);
      dbias.device_data[c] += grad[c];
    }
  }
}

void layer_norm_input_gradient(ConstMatrix x, ConstMatrix gain, ConstMatrix mean,
                               ConstMatrix inverse_std, ConstMatrix dy, Matrix dx) {
  BALLAST_CHECK(dy.size() == x.size() && dx.size() == x.size() && gain.columns == x.columns);
  const auto width = static_cast<float>(x.columns);
  for (uint32_t r = 0; r < x.rows; ++r) {
    const float* in = row_of(x, r);
    const float* grad = row_of(dy, r);
    const float* scale = gain.device_data;
    const float center = mean.device_data[r];
    const float inverse = inverse_std.device_data[r];
    const float mean_g = sum(x.columns, [&](size_t c) { return grad[c] * scale[c]; }) / width;
    const float mean_gh =
        sum(x.columns,
            [&](size_t c) { return grad[c] * scale[c] * ((in[c] - center) * inverse); }) /
        width;
    float* out = dx.device_data + size_t{r} * dx.columns;
    BALLAST_INDEPENDENT_ITERATIONS
    for (uint32_t c = 0; c < x.columns; ++c) {
      const float h = (in[c] - center) * inverse;
      out[c] = (grad[c] * scale[c] - mean_g - h * mean_gh) * inverse;
    }
  }
}

}  // namespace ballast::cpu
