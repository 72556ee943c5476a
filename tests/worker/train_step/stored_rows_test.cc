// Rows whose features come as they are stored: the same bits as with the floats made before.
#include <gtest/gtest.h>

#include <cstring>

#include "common/base/half.h"
#include "tests/support/sim_device.h"
#include "tests/worker/train_step/step_fixture.h"

namespace ballast {
namespace {

using testing::ReferenceCase;
using testing::SimDevice;

constexpr uint32_t kRows = 6;
constexpr uint32_t kWidth = 5;
constexpr uint32_t kBatches = 40;

ReferenceCase plain_case() {
  ModelConfig model;
  model.layers = {{.kind = LayerKind::kDense, .units = 9, .activation = Activation::kGelu},
                  {.kind = LayerKind::kDense, .units = 4}};
  return testing::random_case(model, kWidth, 4, kRows, 4);
}

class StoredRows : public ::testing::TestWithParam<std::tuple<StoredType, bool>> {
 protected:
  StoredRows() {
    how_.type = std::get<0>(GetParam());
    if (!std::get<1>(GetParam())) return;
    how_.center = {1, 2, 3, 4, 5};
    how_.factor = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f};
    how_.shift = {0, 0, 0.7f, 0, 0};
  }

  // As stored, of a batch of so many rows, and as floats.
  void make(uint32_t rows, uint32_t batch) {
    bytes_.clear();
    floats_.clear();
    for (uint32_t i = 0; i < rows * kWidth; ++i) {
      const uint64_t drawn = hash_numbers({batch, i});
      const uint16_t value = how_.type == StoredType::kU8
                                 ? static_cast<uint16_t>(drawn % 6)
                                 : float_to_half(static_cast<float>(drawn % 600) / 300.0f - 1.0f);
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      bytes_.insert(bytes_.end(), raw, raw + bytes_of(how_.type));
      float x = how_.type == StoredType::kU8 ? static_cast<float>(value) : half_to_float(value);
      const uint32_t c = i % kWidth;
      if (!how_.center.empty()) x = (x - how_.center[c]) * how_.factor[c] + how_.shift[c];
      floats_.push_back(x);
    }
  }

  // Losses and gradients of steps with new weights each; evaluations between them have floats.
  std::vector<double> train(Backend& backend, bool stored) {
    auto step =
        TrainStep::create(c_.model, kWidth, 1, kRows, backend, false, stored ? &how_ : nullptr);
    EXPECT_TRUE(step.ok());
    GradientSet gradients = testing::gradients_for(**step);
    std::vector<double> seen;
    for (uint32_t batch = 0; batch < kBatches; ++batch) {
      for (uint32_t p = 0; p < (*step)->parameters().size(); ++p) {
        const std::span<float> weights = (*step)->weights(p);
        for (size_t i = 0; i < weights.size(); ++i) {
          weights[i] = static_cast<float>(c_.parameters[p][i]) + 0.01f * static_cast<float>(batch);
        }
      }
      const uint32_t rows = batch % 3 == 0 ? kRows - 1 : kRows;
      make(rows, batch);
      StepRows lent{.features = {},
                    .labels = std::span(c_.labels).first(rows),
                    .weights = {},
                    .rows = rows,
                    .stored_features = {}};
      if (stored) {
        lent.stored_features = bytes_;
      } else {
        lent.features = floats_;
      }
      const auto result = (*step)->run(lent, {.seed = 1, .batch = batch}, gradients);
      EXPECT_TRUE(result.ok());
      if (!result.ok()) return seen;
      std::ranges::fill(bytes_, std::byte{0xff});  // lent for one call
      seen.push_back(result->loss_sum);
      for (const Buffer& gradient : gradients.parameters) {
        for (float value : gradient.floats()) seen.push_back(value);
      }
      if (batch % 4 != 0) continue;
      make(rows, 1000 + batch);
      lent.features = floats_;
      lent.stored_features = {};
      const auto evaluated = (*step)->evaluate(lent);
      EXPECT_TRUE(evaluated.ok());
      if (evaluated.ok()) seen.push_back(evaluated->loss_sum);
    }
    return seen;
  }

  const ReferenceCase c_ = plain_case();
  StoredFeatures how_;
  std::vector<std::byte> bytes_;
  std::vector<float> floats_;
};

INSTANTIATE_TEST_SUITE_P(Types, StoredRows,
                         ::testing::Combine(::testing::Values(StoredType::kU8, StoredType::kF16),
                                            ::testing::Bool()),
                         [](const auto& kind) {
                           return std::string(name_of(std::get<0>(kind.param))) +
                                  (std::get<1>(kind.param) ? "Scaled" : "AsTheyAre");
                         });

TEST_P(StoredRows, GiveTheBitsOfTheirFloatsOnEveryDevice) {
  const std::vector<double> expected = train(*testing::cpu_backend(), false);
  ASSERT_GT(expected.size(), 2000u);

  EXPECT_EQ(train(*testing::cpu_backend(), true), expected);
  uint64_t launches = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SimDevice device(seed);
    ASSERT_EQ(train(device, true), expected) << "seed " << seed;
    launches += device.launches();
  }
  EXPECT_GT(launches, 0u) << "a step that is a graph";
}

// Where there is one.
TEST_P(StoredRows, GiveTheBitsOfTheirFloatsOnAGpu) {
  if (const Status there = check_device(Device::kCuda); !there.ok()) {
    GTEST_SKIP() << there.to_string();
  }
  const auto open = [] { return make_backend(Device::kCuda, {}).value(); };

  EXPECT_EQ(train(*open(), true), train(*open(), false));
}

TEST_P(StoredRows, AreOtherBitsOnADeviceThatForgetsWaits) {
  const std::vector<double> expected = train(*testing::cpu_backend(), false);
  uint64_t others = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    auto step_on = [&] {
      SimDevice hasty(seed, SimDevice::Bent::kForgetsWaits);
      auto step = TrainStep::create(c_.model, kWidth, 1, kRows, hasty, false, &how_).value();
      GradientSet gradients = testing::gradients_for(*step);
      for (uint32_t p = 0; p < step->parameters().size(); ++p) {
        std::ranges::copy(c_.parameters[p], step->weights(p).begin());
      }
      make(kRows - 1, 0);
      const auto result = step->run({.features = {},
                                     .labels = std::span(c_.labels).first(kRows - 1),
                                     .weights = {},
                                     .rows = kRows - 1,
                                     .stored_features = bytes_},
                                    {.seed = 1}, gradients);
      return result.ok() ? result->loss_sum : -1.0;
    };
    others += step_on() != expected.front();
  }
  EXPECT_GT(others, 10u);
}

}  // namespace
}  // namespace ballast
