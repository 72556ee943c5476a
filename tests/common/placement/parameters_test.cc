#include "common/placement/parameters.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ballast {
namespace {

ModelConfig small_model() {
  ModelConfig model;
  model.layers.push_back({.kind = LayerKind::kDense, .units = 3, .activation = Activation::kRelu});
  model.layers.push_back({.kind = LayerKind::kDropout, .rate = 0.5});
  model.layers.push_back({.kind = LayerKind::kLayerNorm});
  model.layers.push_back({.kind = LayerKind::kDense, .units = 2, .bias = false});
  return model;
}

TEST(Parameters, FollowTheLayers) {
  const auto parameters = parameters_of(small_model(), 5);

  ASSERT_EQ(parameters.size(), 5u);
  EXPECT_EQ(parameters[0].name, "layer0.weight");
  EXPECT_EQ(parameters[0].shape, (std::vector<uint64_t>{5, 3}));
  EXPECT_EQ(parameters[1].name, "layer0.bias");
  EXPECT_EQ(parameters[2].name, "layer2.gain");
  EXPECT_EQ(parameters[4].name, "layer3.weight");
  EXPECT_EQ(parameters[4].shape, (std::vector<uint64_t>{3, 2}));
}

TEST(Parameters, FirstValuesDoNotDependOnTheCut) {
  const auto parameters = parameters_of(small_model(), 5);
  std::vector<float> whole(15), parts(15);

  fill_initial(parameters[0], 0, 7, 0, whole);
  fill_initial(parameters[0], 0, 7, 0, std::span(parts).first(6));
  fill_initial(parameters[0], 0, 7, 6, std::span(parts).subspan(6));

  EXPECT_EQ(whole, parts);
  for (float value : whole) EXPECT_LE(std::abs(value), std::sqrt(6.0 / 5.0));
  EXPECT_NE(whole[0], whole[1]);
}

TEST(Parameters, AnotherSeedGivesOtherValues) {
  const auto parameters = parameters_of(small_model(), 5);
  std::vector<float> seven(15), eight(15);

  fill_initial(parameters[0], 0, 7, 0, seven);
  fill_initial(parameters[0], 0, 8, 0, eight);

  EXPECT_NE(seven, eight);
}

}  // namespace
}  // namespace ballast
