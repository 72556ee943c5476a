#include "common/optimizer/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/random.h"
#include "tests/support/scalar_optimizer.h"

namespace ballast {
namespace {

using testing::Scalar;

using Floats = std::vector<float>;

constexpr OptimizerKind kAll[] = {OptimizerKind::kSgd,      OptimizerKind::kMomentum,
                                  OptimizerKind::kNesterov, OptimizerKind::kAdagrad,
                                  OptimizerKind::kRmsprop,  OptimizerKind::kAdam,
                                  OptimizerKind::kAdamw};

// A tensor under training: what a unit holds.
struct Tensor {
  Tensor(OptimizerKind kind, Floats first)
      : weights(std::move(first)), state(state_count(kind), Floats(weights.size())) {}

  Floats weights;
  std::vector<Floats> state;

  bool operator==(const Tensor& other) const {
    if (!equal(weights, other.weights)) return false;
    for (size_t s = 0; s < state.size(); ++s) {
      if (!equal(state[s], other.state[s])) return false;
    }
    return true;
  }
  static bool equal(const Floats& a, const Floats& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }
};

struct Update {
  OptimizerConfig config;
  double weight = 3;
  double learning_rate = 0.01;
  uint64_t t = 1;
  bool decay = true;
};

GradientNode node(const Floats& gradient, size_t first = 0, uint32_t low = 0, uint32_t high = 1) {
  return {low, high, reinterpret_cast<const std::byte*>(gradient.data() + first)};
}

// Elements [first, first + out.size()) of the tensor, into `out`.
void apply(const Update& u, std::span<const GradientNode> nodes, uint32_t lanes, Tensor& tensor,
           size_t first, std::span<float> out) {
  std::vector<std::span<float>> state;
  for (Floats& s : tensor.state) state.push_back(std::span(s).subspan(first, out.size()));
  apply_update(u.config, {.gradients = nodes,
                          .lanes = lanes,
                          .update = {.weight_sum = u.weight,
                                     .updates = u.t,
                                     .learning_rate = u.learning_rate,
                                     .decay = u.decay},
                          .weights_in = std::span(tensor.weights).subspan(first, out.size()),
                          .weights_out = out,
                          .state = state});
}

// Elements [first, last), in place, from one lane's gradient.
void apply_in_place(const Update& u, const Floats& gradient, Tensor& tensor, size_t first,
                    size_t last) {
  const GradientNode nodes[] = {node(gradient, first)};
  apply(u, nodes, 1, tensor, first, std::span(tensor.weights).subspan(first, last - first));
}

Floats random_floats(Random& random, size_t count, double scale = 1) {
  Floats values(count);
  for (float& value : values) value = static_cast<float>(scale * random.normal());
  return values;
}

std::string name(const ::testing::TestParamInfo<OptimizerKind>& info) {
  constexpr const char* kNames[] = {"Sgd",     "Momentum", "Nesterov", "Adagrad",
                                    "Rmsprop", "Adam",     "Adamw"};
  return kNames[static_cast<int>(info.param)];
}

class Optimizer : public ::testing::TestWithParam<OptimizerKind> {};
INSTANTIATE_TEST_SUITE_P(All, Optimizer, ::testing::ValuesIn(kAll), name);

// 30 updates of float against double. An update rounds a handful of times (2^-24 each) and steps
// are at most about 0.1, so the weights, of size about 1, may drift by some 30 * 5 * 2^-24 = 1e-5;
// adagrad and the adams divide by a root of squares, which keeps relative errors.
TEST_P(Optimizer, FollowsThePublishedEquations) {
  for (const double clip : {0.0, 0.3}) {
    for (const double weight_decay : {0.0, 0.05}) {
      for (const bool decays : {false, true}) {
        Random random(17);
        Update u{.config = {.kind = GetParam(), .weight_decay = weight_decay, .clip_value = clip},
                 .decay = decays};
        Tensor tensor(GetParam(), random_floats(random, 50));
        std::vector<Scalar> expected(50);
        for (size_t i = 0; i < 50; ++i) expected[i].w = tensor.weights[i];
        for (u.t = 1; u.t <= 30; ++u.t) {
          const Floats gradient = random_floats(random, 50, 2);
          apply_in_place(u, gradient, tensor, 0, 50);
          for (size_t i = 0; i < 50; ++i) {
            expected[i].update(u.config, gradient[i], u.weight, u.learning_rate,
                               static_cast<int>(u.t), decays);
          }
        }
        for (size_t i = 0; i < 50; ++i) {
          ASSERT_NEAR(tensor.weights[i], expected[i].w, 1e-5)
              << "clip " << clip << " decay " << weight_decay << " " << decays << " element " << i;
        }
      }
    }
  }
}

TEST_P(Optimizer, GivesAnElementTheSameBitsWhereverASpanIsCut) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    const size_t size = 1 + random.below(seed % 8 == 0 ? 5000 : 200);
    Update u{.config = {.kind = GetParam(),
                        .weight_decay = random.chance(0.5) ? 0.01 : 0,
                        .clip_value = random.chance(0.5) ? 0.5 : 0}};
    const Floats first = random_floats(random, size);
    Tensor whole(GetParam(), first), parts(GetParam(), first);
    for (u.t = 1; u.t <= 3; ++u.t) {
      const Floats gradient = random_floats(random, size);
      apply_in_place(u, gradient, whole, 0, size);
      for (size_t begin = 0; begin < size;) {
        const size_t end = begin + 1 + random.below(size - begin);
        apply_in_place(u, gradient, parts, begin, end);
        begin = end;
      }
    }
    ASSERT_TRUE(whole == parts) << "seed " << seed;
  }
}

TEST_P(Optimizer, OutOfPlaceLeavesTheOldVersionAndGivesTheSameBits) {
  Random random(5);
  const Update u{.config = {.kind = GetParam(), .weight_decay = 0.01}};
  const Floats first = random_floats(random, 1500), gradient = random_floats(random, 1500);
  Tensor in_place(GetParam(), first), moved(GetParam(), first);
  Floats published(1500);

  apply_in_place(u, gradient, in_place, 0, 1500);
  const GradientNode nodes[] = {node(gradient)};
  apply(u, nodes, 1, moved, 0, published);

  EXPECT_EQ(moved.weights, first);
  moved.weights = published;
  EXPECT_TRUE(in_place == moved);
}

TEST_P(Optimizer, WritesOverAGradientWithTheSameBits) {
  Random random(7);
  const size_t size = 2100;  // more than two tiles
  const Floats first = random_floats(random, size);
  const std::vector<Floats> lanes = {random_floats(random, size), random_floats(random, size),
                                     random_floats(random, size)};
  const Update u{.config = {.kind = GetParam(), .weight_decay = 0.01, .clip_value = 0.5}};
  const auto nodes_of = [](const std::vector<Floats>& gradients) {
    std::vector<GradientNode> nodes;
    for (uint32_t i = 0; i < gradients.size(); ++i) {
      nodes.push_back(node(gradients[i], 0, i, i + 1));
    }
    return nodes;
  };

  for (size_t count = 1; count <= lanes.size(); ++count) {
    std::vector<Floats> gradients(lanes.begin(), lanes.begin() + static_cast<ptrdiff_t>(count));
    Tensor expected(GetParam(), first);
    apply(u, nodes_of(gradients), 4, expected, 0, expected.weights);
    for (size_t over = 0; over < count; ++over) {
      std::vector<Floats> used_up = gradients;
      Tensor tensor(GetParam(), first);
      apply(u, nodes_of(used_up), 4, tensor, 0, used_up[over]);

      EXPECT_EQ(tensor.weights, first);
      EXPECT_EQ(used_up[over], expected.weights) << "over " << over << " of " << count;
      EXPECT_EQ(tensor.state, expected.state);
    }
  }
}

TEST_P(Optimizer, FoldsLanesAsTheTreeDoesBeforeUpdating) {
  Random random(6);
  const size_t size = 2100;  // more than two tiles
  const Floats first = random_floats(random, size);
  std::vector<Floats> lanes;
  for (int lane = 0; lane < 4; ++lane) lanes.push_back(random_floats(random, size));
  Floats sum(size), left(size), right(size);
  for (size_t i = 0; i < size; ++i) {
    left[i] = lanes[0][i] + lanes[1][i];
    right[i] = lanes[2][i] + lanes[3][i];
    sum[i] = left[i] + right[i];
  }
  const Update u{.config = {.kind = GetParam()}};
  Tensor expected(GetParam(), first);
  apply_in_place(u, sum, expected, 0, size);

  const std::vector<std::vector<GradientNode>> arrivals = {
      {node(lanes[3], 0, 3, 4), node(lanes[0], 0, 0, 1), node(lanes[2], 0, 2, 3),
       node(lanes[1], 0, 1, 2)},
      {node(left, 0, 0, 2), node(lanes[2], 0, 2, 3), node(lanes[3], 0, 3, 4)},
      {node(right, 0, 2, 4), node(left, 0, 0, 2)},
      {node(sum, 0, 0, 4)},
  };
  for (const auto& nodes : arrivals) {
    Tensor tensor(GetParam(), first);
    apply(u, nodes, 4, tensor, 0, tensor.weights);
    EXPECT_TRUE(tensor == expected) << nodes.size() << " nodes";
  }
}

TEST_P(Optimizer, NamesEachStateTensor) {
  std::vector<std::string_view> names;
  for (uint32_t s = 0; s < state_count(GetParam()); ++s) names.push_back(state_name(GetParam(), s));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

// By hand, from the papers: the first step of adam is learning_rate * sign(g), whatever g's size.
TEST(OptimizerByHand, FirstStepOfAdamHasTheSizeOfTheLearningRate) {
  Tensor tensor(OptimizerKind::kAdam, {1, 1, 1});
  const Update u{.config = {.kind = OptimizerKind::kAdam}, .weight = 1, .learning_rate = 0.1};
  apply_in_place(u, {1000, -0.001f, 5}, tensor, 0, 3);
  EXPECT_NEAR(tensor.weights[0], 0.9, 1e-6);
  EXPECT_NEAR(tensor.weights[1], 1.1, 1e-5);  // epsilon 1e-8 against 1e-3
  EXPECT_NEAR(tensor.weights[2], 0.9, 1e-6);
}

TEST(OptimizerByHand, MomentumAndNesterovOfAConstantGradient) {
  // v: 1, 1.5, 1.75; momentum steps by v, nesterov by 1 + v / 2.
  for (const auto& [kind, expected] : {std::pair(OptimizerKind::kMomentum, -4.25f),
                                       std::pair(OptimizerKind::kNesterov, -5.125f)}) {
    Tensor tensor(kind, {0});
    Update u{.config = {.kind = kind, .momentum = 0.5}, .weight = 2, .learning_rate = 1};
    for (u.t = 1; u.t <= 3; ++u.t) apply_in_place(u, {2}, tensor, 0, 1);
    EXPECT_EQ(tensor.weights[0], expected);
  }
}

TEST(OptimizerByHand, DividesThenClipsThenDecays) {
  Tensor tensor(OptimizerKind::kSgd, {8});
  const Update u{.config = {.kind = OptimizerKind::kSgd, .weight_decay = 0.25, .clip_value = 1},
                 .weight = 4,
                 .learning_rate = 1};
  apply_in_place(u, {40}, tensor, 0, 1);  // 40 / 4 = 10 -> 1 -> 1 + 2 = 3
  EXPECT_EQ(tensor.weights[0], 5.0f);
}

TEST(OptimizerByHand, AdamwDecaysTheWeightNotTheGradient) {
  Tensor tensor(OptimizerKind::kAdamw, {8});
  const Update u{.config = {.kind = OptimizerKind::kAdamw, .weight_decay = 0.5},
                 .weight = 1,
                 .learning_rate = 0.25};
  apply_in_place(u, {0}, tensor, 0, 1);
  EXPECT_EQ(tensor.weights[0], 7.0f);  // 8 * (1 - 0.25 * 0.5); the moments stay 0
  EXPECT_EQ(tensor.state[0][0], 0.0f);
}

}  // namespace
}  // namespace ballast
