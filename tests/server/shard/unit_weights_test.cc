#include "server/shard/unit_weights.h"

#include <gtest/gtest.h>

#include "tests/server/shard/shard_fixture.h"

namespace ballast::testing {
namespace {

// One unit of `elements` zeros under plain SGD with rate 1.
struct OneTensor {
  explicit OneTensor(uint64_t elements) {
    rule.train.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 1};
    parameter.shape = {elements};
    weights.emplace(UnitSpec{UnitId(0), 0, 0, elements}, parameter, 1, rule);
  }

  // Returns where the gradient lies.
  const std::byte* apply(Buffer gradient) {
    const std::byte* data = gradient.data();
    const GradientNode node{0, 1, data};
    weights->apply({&node, 1}, std::move(gradient), {1, 1});
    return data;
  }

  [[nodiscard]] static Buffer gradient(uint64_t elements, float value) {
    return floats(std::vector<float>(elements, value));
  }

  UpdateRule rule;
  ParameterSpec parameter;
  std::optional<UnitWeights> weights;
};

constexpr uint64_t kLarge = 10'000;  // 40 kB

TEST(UnitWeights, WritesTheNewVersionOverTheGradientItUsesUp) {
  OneTensor unit(kLarge);
  const Buffer old = unit.weights->current();

  const std::byte* gradient = unit.apply(OneTensor::gradient(kLarge, 2));

  EXPECT_EQ(unit.weights->current().data(), gradient);
  EXPECT_EQ(values_of(unit.weights->current()), std::vector<float>(kLarge, -2));
  EXPECT_EQ(values_of(old), std::vector<float>(kLarge, 0));
}

TEST(UnitWeights, LeavesAGradientAloneThatSomebodyElseHolds) {
  OneTensor unit(kLarge);
  const Buffer kept = OneTensor::gradient(kLarge, 2);

  unit.apply(kept);

  EXPECT_EQ(values_of(unit.weights->current()), std::vector<float>(kLarge, -2));
  EXPECT_EQ(values_of(kept), std::vector<float>(kLarge, 2));
}

TEST(UnitWeights, KeepsNoSmallFrameThatMayHoldOthersAlive) {
  OneTensor unit(10);

  const std::byte* gradient = unit.apply(OneTensor::gradient(10, 2));

  EXPECT_NE(unit.weights->current().data(), gradient);
  EXPECT_EQ(values_of(unit.weights->current()), std::vector<float>(10, -2));
}

TEST(UnitWeights, LeavesAGradientAloneThatIsNoArrayOfFloats) {
  OneTensor unit(kLarge);
  Buffer odd = Buffer::allocate(kLarge * sizeof(float) + 1).slice(1, kLarge * sizeof(float));

  const std::byte* gradient = unit.apply(std::move(odd));

  EXPECT_NE(unit.weights->current().data(), gradient);
}

}  // namespace
}  // namespace ballast::testing
