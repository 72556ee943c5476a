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

  // The features of some rows.
  struct Features {
    std::vector<std::byte> stored;
    std::vector<float> floats;
  };

  [[nodiscard]] Features features_of(uint32_t rows, uint32_t batch) const {
    Features made;
    for (uint32_t i = 0; i < rows * kWidth; ++i) {
      const uint64_t drawn = hash_numbers({batch, i});
      const uint16_t value = how_.type == StoredType::kU8
                                 ? static_cast<uint16_t>(drawn % 6)
                                 : float_to_half(static_cast<float>(drawn % 600) / 300.0f - 1.0f);
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      made.stored.insert(made.stored.end(), raw, raw + bytes_of(how_.type));
      float x = how_.type == StoredType::kU8 ? static_cast<float>(value) : half_to_float(value);
      const uint32_t c = i % kWidth;
      if (!how_.center.empty()) x = (x - how_.center[c]) * how_.factor[c] + how_.shift[c];
      made.floats.push_back(x);
    }
    return made;
  }

  static uint32_t rows_at(uint32_t batch) { return batch % 3 == 0 ? kRows - 1 : kRows; }

  [[nodiscard]] StepRows lend(const Features& features, uint32_t rows, bool stored) const {
    return {.features = stored ? std::span<const float>() : features.floats,
            .labels = std::span(c_.labels).first(rows),
            .weights = {},
            .rows = rows,
            .stored_features = stored ? features.stored : std::span<const std::byte>()};
  }

  // Losses and gradients of steps with new weights each, rows ahead of most; evaluations between
  // them have floats.
  std::vector<double> train(Backend& backend, bool stored) {
    const auto step =
        TrainStep::create(c_.model, kWidth, 1, kRows, backend, false, stored ? &how_ : nullptr);
    EXPECT_TRUE(step.ok());
    GradientSet gradients = testing::gradients_for(**step);
    std::vector<double> seen;
    Features features = features_of(rows_at(0), 0);
    for (uint32_t batch = 0; batch < kBatches; ++batch) {
      for (uint32_t p = 0; p < (*step)->parameters().size(); ++p) {
        const std::span<float> weights = (*step)->weights(p);
        for (size_t i = 0; i < weights.size(); ++i) {
          weights[i] = static_cast<float>(c_.parameters[p][i]) + 0.01f * static_cast<float>(batch);
        }
      }
      Features next = features_of(rows_at(batch + 1), batch + 1);
      StepHooks hooks;
      hooks.pass_launched = [&] {
        if (batch % 4 != 1) (*step)->prefetch(lend(next, rows_at(batch + 1), stored));
        return Status();
      };
      const auto result = (*step)->run(lend(features, rows_at(batch), stored),
                                       {.seed = 1, .batch = batch}, gradients, hooks);
      EXPECT_TRUE(result.ok());
      if (!result.ok()) return seen;
      std::ranges::fill(features.stored, std::byte{0xff});  // lent until the step is done
      features = std::move(next);
      seen.push_back(result->loss_sum);
      for (const Buffer& gradient : gradients.parameters) {
        for (float value : gradient.floats()) seen.push_back(value);
      }
      if (batch % 4 != 0) continue;
      const Features others = features_of(rows_at(batch), 1000 + batch);
      const auto evaluated = (*step)->evaluate(lend(others, rows_at(batch), false));
      EXPECT_TRUE(evaluated.ok());
      if (evaluated.ok()) seen.push_back(evaluated->loss_sum);
    }
    (*step)->settle();
    return seen;
  }

  const ReferenceCase c_ = plain_case();
  StoredFeatures how_;
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
      const Features features = features_of(kRows - 1, 0);
      const auto result = step->run(lend(features, kRows - 1, true), {.seed = 1}, gradients);
      return result.ok() ? result->loss_sum : -1.0;
    };
    others += step_on() != expected.front();
  }
  EXPECT_GT(others, 10u);
}

}  // namespace
}  // namespace ballast
