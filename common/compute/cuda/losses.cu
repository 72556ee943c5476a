// The equations are in cpu/losses.cc. A warp has a row; dz may be z, so that a lane reads an
// element before it writes it and nobody else reads it afterwards.
#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"
#include "common/compute/cuda/launch.cuh"

namespace ballast::cuda {
namespace {

struct Rows {
  const float* z;
  const float* labels;
  const float* weights;  // null: all 1
  float* loss;
  float* correct;
  float* dz;  // null: evaluation
  uint32_t rows;
  uint32_t units;
};

// 0, not 0 * dz, which is NaN where dz is not finite.
__device__ float weighed(float dz, float weight) {
  return weight == 0 ? 0.0f : dz * weight;
}

__device__ float logistic(float z) {
  return 1.0f / (1.0f + expf(-z));
}

// NaN only where the first value is.
__device__ float largest_of(const float* z, uint32_t units, uint32_t lane) {
  float largest = z[0];
  for (uint32_t c = lane; c < units; c += kWarp) largest = largest < z[c] ? z[c] : largest;
  return warp_max(largest);
}

// The first place of the largest value; units: a row of NaN has none.
__device__ uint32_t place_of(float largest, const float* z, uint32_t units, uint32_t lane) {
  uint32_t best = units;
  for (uint32_t c = lane; c < units; c += kWarp) {
    if (z[c] != largest) continue;
    best = c;
    break;
  }
  return __reduce_min_sync(kWholeWarp, best);
}

__global__ void softmax_kernel(Rows all) {
  for_row_of_warp(all.rows, [&](uint32_t row, uint32_t lane) {
    const float* z = all.z + size_t{row} * all.units;
    const auto label = static_cast<uint32_t>(all.labels[row]);
    const float largest = largest_of(z, all.units, lane);
    const uint32_t best = place_of(largest, z, all.units, lane);
    const float found = label < all.units ? z[label] : NAN;  // the caller has checked it
    const float total = row_sum(all.units, lane, [&](uint32_t c) { return expf(z[c] - largest); });
    if (lane == 0) {
      all.loss[row] = logf(total) + (largest - found);
      all.correct[row] = best == label ? 1.0f : 0.0f;
    }
    if (all.dz == nullptr) return;
    __syncwarp();
    float* dz = all.dz + size_t{row} * all.units;
    const float scale = 1.0f / total;
    const float weight = all.weights == nullptr ? 1.0f : all.weights[row];
    for (uint32_t c = lane; c < all.units; c += kWarp) {
      const float p = expf(z[c] - largest) * scale;
      dz[c] = weighed(c == label ? p - 1.0f : p, weight);
    }
  });
}

// Of one output and its label.
struct Term {
  float loss;
  float correct;
  float derivative;
};
struct Sigmoid {
  __device__ static Term term(float z, float label) {
    return {(z > 0 ? z : 0.0f) - label * z + log1pf(expf(-fabsf(z))),
            (z > 0) == (label > 0.5f) ? 1.0f : 0.0f, logistic(z) - label};
  }
};
struct Squared {
  __device__ static Term term(float z, float label) {
    const float distance = z - label;
    return {distance * distance, 0.0f, 2.0f * distance};
  }
};

template <typename Kind>
__global__ void mean_kernel(Rows all) {
  for_row_of_warp(all.rows, [&](uint32_t row, uint32_t lane) {
    const size_t start = size_t{row} * all.units;
    const float share = 1.0f / static_cast<float>(all.units);
    const float weight = all.weights == nullptr ? 1.0f : all.weights[row];
    float loss = 0, correct = 0;
    for (uint32_t c = lane; c < all.units; c += kWarp) {
      const Term term = Kind::term(all.z[start + c], all.labels[start + c]);
      loss += term.loss;
      correct += term.correct;
      if (all.dz != nullptr) all.dz[start + c] = weighed(term.derivative * share, weight);
    }
    loss = warp_sum(loss);
    correct = warp_sum(correct);
    if (lane > 0) return;
    all.loss[row] = loss * share;
    all.correct[row] = correct;
  });
}

__global__ void softmax_predict_kernel(const float* z, float* y, uint32_t rows, uint32_t units) {
  for_row_of_warp(rows, [&](uint32_t row, uint32_t lane) {
    const float* in = z + size_t{row} * units;
    float* out = y + size_t{row} * units;
    const float largest = largest_of(in, units, lane);
    const float scale =
        1.0f / row_sum(units, lane, [&](uint32_t c) { return expf(in[c] - largest); });
    for (uint32_t c = lane; c < units; c += kWarp) out[c] = expf(in[c] - largest) * scale;
  });
}

__global__ void predict_kernel(bool sigmoid, const float* z, float* y, size_t count) {
  for_elements(count, [&](size_t i) { y[i] = sigmoid ? logistic(z[i]) : z[i]; });
}

}  // namespace

void loss(cudaStream_t stream, LossKind kind, ConstMatrix z, ConstMatrix labels,
          ConstMatrix weights, Matrix row_loss, Matrix row_correct, Matrix dz) {
  const uint32_t label_width = kind == LossKind::kSoftmaxCrossEntropy ? 1 : z.columns;
  BALLAST_CHECK(labels.rows == z.rows && labels.columns == label_width);
  BALLAST_CHECK(row_loss.columns == z.rows && row_correct.columns == z.rows);
  BALLAST_CHECK(weights.empty() || weights.size() == z.rows);
  BALLAST_CHECK(dz.empty() || dz.size() == z.size());
  if (z.size() == 0) return;
  const Rows rows{z.device_data,
                  labels.device_data,
                  weights.device_data,
                  row_loss.device_data,
                  row_correct.device_data,
                  dz.device_data,
                  z.rows,
                  z.columns};
  const uint32_t blocks = blocks_for_rows(z.rows);
  switch (kind) {
    case LossKind::kSoftmaxCrossEntropy:
      softmax_kernel<<<blocks, kThreads, 0, stream>>>(rows);
      return;
    case LossKind::kSigmoidCrossEntropy:
      mean_kernel<Sigmoid><<<blocks, kThreads, 0, stream>>>(rows);
      return;
    case LossKind::kMeanSquaredError:
      mean_kernel<Squared><<<blocks, kThreads, 0, stream>>>(rows);
      return;
  }
}

void predict(cudaStream_t stream, LossKind kind, ConstMatrix z, Matrix y) {
  BALLAST_CHECK(y.size() == z.size());
  if (z.size() == 0) return;
  if (kind == LossKind::kSoftmaxCrossEntropy) {
    softmax_predict_kernel<<<blocks_for_rows(z.rows), kThreads, 0, stream>>>(
        z.device_data, y.device_data, z.rows, z.columns);
    return;
  }
  predict_kernel<<<blocks_for(z.size()), kThreads, 0, stream>>>(
      kind == LossKind::kSigmoidCrossEntropy, z.device_data, y.device_data, z.size());
}

}  // namespace ballast::cuda
