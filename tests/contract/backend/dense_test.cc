#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "tests/contract/backend/backend_contract.h"

namespace ballast {
namespace {

using testing::Floats;

struct Shape {
  uint32_t rows, in, out;
};
// Single rows and columns, sizes around vector widths and blocks, and one that threads share.
constexpr Shape kShapes[] = {{1, 1, 1},    {1, 5, 1},  {1, 300, 17}, {3, 16, 16},    {7, 33, 15},
                             {32, 64, 10}, {64, 1, 9}, {50, 400, 1}, {100, 300, 301}};

double activate(Activation activation, double z) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return z > 0 ? z : 0;
    case Activation::kGelu:
      return z / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-z));
  }
  return 0;
}

double slope(Activation activation, double z) {
  constexpr double kStep = 1e-5;
  if (activation == Activation::kRelu) return z > 0 ? 1 : 0;
  return (activate(activation, z + kStep) - activate(activation, z - kStep)) / (2 * kStep);
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                       Activation::kTanh, Activation::kSigmoid};

class BackendDense : public testing::BackendContract {};
INSTANTIATE_TEST_SUITE_P(All, BackendDense, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

TEST_P(BackendDense, ForwardIsTheProductPlusBiasActivated) {
  for (const Shape& s : kShapes) {
    for (const Activation activation : kActivations) {
      for (const bool has_bias : {true, false}) {
        const double scale = 1 / std::sqrt(s.in);
        const Floats x = random_floats(s.rows * s.in), w = random_floats(s.in * s.out, scale),
                     bias = random_floats(s.out);
        std::vector<double> z(s.rows * s.out), y(s.rows * s.out);
        for (uint32_t r = 0; r < s.rows; ++r) {
          for (uint32_t c = 0; c < s.out; ++c) {
            double sum = has_bias ? bias[c] : 0;
            for (uint32_t k = 0; k < s.in; ++k) sum += double{x[r * s.in + k]} * w[k * s.out + c];
            z[r * s.out + c] = sum;
            y[r * s.out + c] = activate(activation, sum);
          }
        }
        const Matrix device_z = needs_input(activation) ? room(s.rows, s.out) : Matrix();
        const Matrix device_y = room(s.rows, s.out);

        backend_->dense_forward(stream_, put(x, s.rows, s.in), put(w, s.in, s.out),
                                has_bias ? put(bias, 1, s.out) : Matrix(), activation, device_z,
                                device_y);

        expect_close(get(device_y), y, s.in);
        if (!device_z.empty()) expect_close(get(device_z), z, s.in);
      }
    }
  }
}

TEST_P(BackendDense, ActivationBackwardIsTheSlopeAlsoInPlace) {
  for (const Activation activation : kActivations) {
    const Floats z = random_floats(5 * 37, 2), dy = random_floats(5 * 37);
    Floats y(z.size());
    std::vector<double> dz(z.size());
    for (size_t i = 0; i < z.size(); ++i) {
      y[i] = static_cast<float>(activate(activation, z[i]));
      dz[i] = dy[i] * slope(activation, z[i]);
    }
    const Matrix apart = room(5, 37), in_place = put(dy, 5, 37);
    const Matrix device_z = needs_input(activation) ? put(z, 5, 37) : Matrix();

    backend_->activation_backward(stream_, activation, device_z, put(y, 5, 37), put(dy, 5, 37),
                                  apart);
    backend_->activation_backward(stream_, activation, device_z, put(y, 5, 37), in_place, in_place);

    expect_close(get(apart), dz, 4);
    EXPECT_EQ(get(apart), get(in_place));
  }
}

TEST_P(BackendDense, ActivationsHoldAtTheEnds) {
  const Floats z = {-200, -90, -1e-8f, 0, 1e-8f, 90, 200, 0.62499f, 0.62501f};
  const auto size = static_cast<uint32_t>(z.size());
  for (const Activation activation : kActivations) {
    const Floats nothing(size, 0.0f);
    const Matrix y = room(1, size), device_z = room(1, size);
    // As biases: factors may be rounded.
    backend_->dense_forward(stream_, put({0}, 1, 1), put(nothing, 1, size), put(z, 1, size),
                            activation, device_z, y);
    const Floats found = get(y);
    for (uint32_t i = 0; i < size; ++i) {
      const double expected = activate(activation, z[i]);
      EXPECT_NEAR(found[i], expected, 1e-6 * std::abs(expected) + 1e-30) << z[i];
    }
  }
}

// Or a job that diverged would go on with zeros.
TEST_P(BackendDense, NoActivationHidesANaN) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const Activation activation : kActivations) {
    for (const bool in_bias : {false, true}) {
      Floats x(4 * 8, 0.5f), bias(16, 0.25f);
      (in_bias ? bias[3] : x[2 * 8 + 5]) = kNaN;
      const Matrix z = room(4, 16), y = room(4, 16);

      backend_->dense_forward(stream_, put(x, 4, 8), put(Floats(8 * 16, 1.0f), 8, 16),
                              put(bias, 1, 16), activation, z, y);

      const Floats found = get(y);
      for (size_t i = 0; i < found.size(); ++i) {
        const bool expected = in_bias ? i % 16 == 3 : i / 16 == 2;
        EXPECT_EQ(std::isnan(found[i]), expected) << static_cast<int>(activation) << " at " << i;
      }
    }
  }
}

TEST_P(BackendDense, GradientsAreSumsOverRows) {
  for (const Shape& s : kShapes) {
    const Floats x = random_floats(s.rows * s.in), dz = random_floats(s.rows * s.out);
    std::vector<double> dw(s.in * s.out), dbias(s.out);
    for (uint32_t r = 0; r < s.rows; ++r) {
      for (uint32_t c = 0; c < s.out; ++c) {
        dbias[c] += dz[r * s.out + c];
        for (uint32_t k = 0; k < s.in; ++k) {
          dw[k * s.out + c] += double{x[r * s.in + k]} * dz[r * s.out + c];
        }
      }
    }
    const Matrix device_dw = room(s.in, s.out), device_dbias = room(1, s.out);
    const Matrix device_x = put(x, s.rows, s.in), device_dz = put(dz, s.rows, s.out);

    backend_->dense_gradient(stream_, device_x, device_dz, device_dw, device_dbias);

    expect_close(get(device_dw), dw, s.rows);
    expect_close(get(device_dbias), dbias, s.rows);

    const Matrix again = room(s.in, s.out);
    backend_->dense_gradient(stream_, device_x, device_dz, again, Matrix());
    EXPECT_EQ(get(again), get(device_dw));
  }
}

TEST_P(BackendDense, InputGradientIsTheProductWithTheTransposedWeights) {
  for (const Shape& s : kShapes) {
    const Floats dz = random_floats(s.rows * s.out), w = random_floats(s.in * s.out);
    std::vector<double> dx(s.rows * s.in);
    for (uint32_t r = 0; r < s.rows; ++r) {
      for (uint32_t k = 0; k < s.in; ++k) {
        for (uint32_t c = 0; c < s.out; ++c) {
          dx[r * s.in + k] += double{dz[r * s.out + c]} * w[k * s.out + c];
        }
      }
    }
    const Matrix device_dx = room(s.rows, s.in);

    backend_->dense_input_gradient(stream_, put(dz, s.rows, s.out), put(w, s.in, s.out), device_dx);

    expect_close(get(device_dx), dx, 2.0 * s.out);
  }
}

TEST_P(BackendDense, GivesTheSameBitsAgainAlsoElsewhereInMemoryAndInAnotherBackend) {
  const auto other = std::move(GetParam().open()).value();
  const StreamId other_stream = other->create_stream();
  for (const Shape& s : kShapes) {
    const Floats x = random_floats(s.rows * s.in), w = random_floats(s.in * s.out);
    const Matrix y = room(s.rows, s.out);
    backend_->dense_forward(stream_, put(x, s.rows, s.in), put(w, s.in, s.out), Matrix(),
                            Activation::kTanh, Matrix(), y);
    const Floats first = get(y);

    // Everything moved by one float: another alignment.
    auto memory = std::move(other->allocate(x.size() + w.size() + first.size() + 3)).value();
    float* base = memory.matrix(1, 1).device_data;
    const Matrix x2{base + 1, s.rows, s.in};
    const Matrix w2{base + 2 + x.size(), s.in, s.out};
    const Matrix y2{base + 3 + x.size() + w.size(), s.rows, s.out};
    other->upload(other_stream, x, x2);
    other->upload(other_stream, w, w2);
    other->dense_forward(other_stream, x2, w2, Matrix(), Activation::kTanh, Matrix(), y2);
    Floats second(first.size());
    other->download(other_stream, y2, second);
    ASSERT_TRUE(other->synchronize(other_stream).ok());

    EXPECT_EQ(first, second) << s.rows << " " << s.in << " " << s.out;
  }
}

}  // namespace
}  // namespace ballast
