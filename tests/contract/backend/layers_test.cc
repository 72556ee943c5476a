#include <gmock/gmock.h>

#include <cmath>

#include "tests/contract/backend/backend_contract.h"

namespace ballast {
namespace {

using testing::Floats;

class BackendLayers : public testing::BackendContract {};
INSTANTIATE_TEST_SUITE_P(All, BackendLayers, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

constexpr DropoutKey kKey{.seed = 9, .batch = 1000, .lane = 3, .layer = 2};

// The published rule of the mask (cpu/dropout.cc), which every device must follow bit for bit.
bool kept(const DropoutKey& key, double rate, uint32_t row, uint32_t column) {
  const uint64_t row_key = hash_numbers({key.seed, key.batch, key.lane, key.layer, row});
  const uint64_t bits = mix64(row_key ^ (column / 2));
  const uint64_t mine = column % 2 == 0 ? bits & 0xffffffffu : bits >> 32;
  return static_cast<double>(mine) >= rate * 0x1.0p32;
}

TEST_P(BackendLayers, DropoutFollowsTheRuleOfItsMaskAndScales) {
  for (const double rate : {0.0, 0.25, 0.5, 0.9}) {
    for (const uint32_t columns : {1u, 2u, 15u, 128u}) {
      const Floats x = random_floats(9 * columns);
      const Matrix y = room(9, columns), in_place = put(x, 9, columns);

      backend_->dropout(stream_, put(x, 9, columns), rate, kKey, y);
      backend_->dropout(stream_, in_place, rate, kKey, in_place);

      const Floats found = get(y);
      const auto scale = static_cast<float>(1 / (1 - rate));
      for (uint32_t i = 0; i < x.size(); ++i) {
        const bool keep = kept(kKey, rate, i / columns, i % columns);
        ASSERT_EQ(found[i], keep ? x[i] * scale : 0.0f) << "rate " << rate << " element " << i;
      }
      EXPECT_EQ(get(in_place), found);
    }
  }
}

TEST_P(BackendLayers, DropoutDropsItsShareIndependentlyInEveryRowAndColumn) {
  constexpr uint32_t kRows = 400, kColumns = 250;
  const Matrix y = room(kRows, kColumns);
  backend_->dropout(stream_, put(Floats(kRows * kColumns, 1), kRows, kColumns), 0.3, kKey, y);

  const Floats found = get(y);

  // Binomial counts; six standard deviations.
  const auto near_share = [](double dropped, double n) {
    return std::abs(dropped - 0.3 * n) < 6 * std::sqrt(n * 0.3 * 0.7);
  };
  double all = 0, both_neighbours = 0;
  std::vector<double> by_row(kRows), by_column(kColumns);
  for (uint32_t i = 0; i < found.size(); ++i) {
    if (found[i] != 0) continue;
    ++all;
    ++by_row[i / kColumns];
    ++by_column[i % kColumns];
    if (i + 1 < found.size() && found[i + 1] == 0) ++both_neighbours;
  }
  EXPECT_TRUE(near_share(all, found.size())) << all;
  for (double dropped : by_row) EXPECT_TRUE(near_share(dropped, kColumns)) << dropped;
  for (double dropped : by_column) EXPECT_TRUE(near_share(dropped, kRows)) << dropped;
  EXPECT_NEAR(both_neighbours / static_cast<double>(found.size()), 0.09, 0.006);
}

TEST_P(BackendLayers, DropoutDependsOnEachPartOfItsKey) {
  const Matrix x = put(Floats(200, 1), 4, 50), y = room(4, 50);
  backend_->dropout(stream_, x, 0.5, kKey, y);
  const Floats first = get(y);
  for (int part = 0; part < 4; ++part) {
    DropoutKey key = kKey;
    if (part == 0) ++key.seed;
    if (part == 1) ++key.batch;
    if (part == 2) ++key.lane;
    if (part == 3) ++key.layer;
    backend_->dropout(stream_, x, 0.5, key, y);
    EXPECT_NE(get(y), first) << "part " << part;
  }
}

struct Norm {
  uint32_t rows, columns;
  Floats x, gain, bias, dy;
  static constexpr double kEpsilon = 1e-3;

  // Row r: its mean, 1 / std, and normalised values.
  void normalise(uint32_t r, double& mean, double& inverse, std::vector<double>& h) const {
    mean = 0;
    for (uint32_t c = 0; c < columns; ++c) mean += x[r * columns + c] / double(columns);
    double variance = 0;
    for (uint32_t c = 0; c < columns; ++c) {
      variance += std::pow(x[r * columns + c] - mean, 2) / double(columns);
    }
    inverse = 1 / std::sqrt(variance + kEpsilon);
    h.resize(columns);
    for (uint32_t c = 0; c < columns; ++c) h[c] = (x[r * columns + c] - mean) * inverse;
  }
};

TEST_P(BackendLayers, LayerNormForwardAndBackwardFollowTheEquations) {
  for (const auto& [rows, columns] : {std::pair(1u, 2u), {3u, 16u}, {5u, 17u}, {2u, 300u}}) {
    Norm n{rows,
           columns,
           random_floats(rows * columns, 3),
           random_floats(columns),
           random_floats(columns),
           random_floats(rows * columns)};
    for (float& value : n.x) value += 2;
    std::vector<double> mean(rows), inverse(rows), y(rows * columns), dx(rows * columns),
        dgain(columns), dbias(columns), h;
    for (uint32_t r = 0; r < rows; ++r) {
      n.normalise(r, mean[r], inverse[r], h);
      double mean_g = 0, mean_gh = 0;
      for (uint32_t c = 0; c < columns; ++c) {
        const double dy = n.dy[r * columns + c];
        y[r * columns + c] = h[c] * n.gain[c] + n.bias[c];
        dgain[c] += dy * h[c];
        dbias[c] += dy;
        mean_g += dy * n.gain[c] / columns;
        mean_gh += dy * n.gain[c] * h[c] / columns;
      }
      for (uint32_t c = 0; c < columns; ++c) {
        dx[r * columns + c] =
            (double{n.dy[r * columns + c]} * n.gain[c] - mean_g - h[c] * mean_gh) * inverse[r];
      }
    }
    const Matrix device_x = put(n.x, rows, columns), gain = put(n.gain, 1, columns),
                 device_y = room(rows, columns), device_mean = room(1, rows),
                 device_inverse = room(1, rows), device_dgain = room(1, columns),
                 device_dbias = room(1, columns), device_dx = room(rows, columns),
                 dy = put(n.dy, rows, columns), in_place = put(n.dy, rows, columns);

    backend_->layer_norm_forward(stream_, device_x, gain, put(n.bias, 1, columns), Norm::kEpsilon,
                                 device_mean, device_inverse, device_y);
    backend_->layer_norm_backward(stream_, device_x, gain, device_mean, device_inverse, dy,
                                  device_dgain, device_dbias, device_dx);
    backend_->layer_norm_backward(stream_, device_x, gain, device_mean, device_inverse, in_place,
                                  Matrix(), Matrix(), in_place);

    expect_close(get(device_mean), mean, columns);
    expect_close(get(device_inverse), inverse, columns);
    expect_close(get(device_y), y, columns);
    expect_close(get(device_dgain), dgain, columns + rows);
    expect_close(get(device_dbias), dbias, rows);
    expect_close(get(device_dx), dx, 4.0 * columns);
    EXPECT_EQ(get(in_place), get(device_dx));
  }
}

}  // namespace
}  // namespace ballast
