// Optimizer steps where the weights are. Weights are compared with double precision: an update
// rounds a handful of times (2^-24 each) and steps are at most about 0.1, so after 20 of them
// weights of size about 1 may be off by some 20 * 5 * 2^-24 < 1e-5.
#include "common/optimizer/optimizer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "tests/contract/backend/backend_contract.h"
#include "tests/support/scalar_optimizer.h"

namespace ballast {
namespace {

using ::testing::Each;
using testing::Floats;
using testing::Scalar;

constexpr OptimizerKind kAll[] = {OptimizerKind::kSgd,      OptimizerKind::kMomentum,
                                  OptimizerKind::kNesterov, OptimizerKind::kAdagrad,
                                  OptimizerKind::kRmsprop,  OptimizerKind::kAdam,
                                  OptimizerKind::kAdamw};

class BackendOptimizer : public testing::BackendContract {
 protected:
  std::vector<Matrix> zero_state(OptimizerKind kind, uint32_t rows, uint32_t columns) {
    std::vector<Matrix> state(state_count(kind));
    for (Matrix& tensor : state) {
      tensor = room(rows, columns);
      backend_->clear(stream_, tensor);
    }
    return state;
  }
};
INSTANTIATE_TEST_SUITE_P(All, BackendOptimizer, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

bool equal_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_P(BackendOptimizer, FollowsThePublishedEquations) {
  for (const OptimizerKind kind : kAll) {
    for (const auto& [clip, weight_decay, decays] :
         {std::tuple(0.0, 0.0, true), std::tuple(0.3, 0.0, false), std::tuple(0.0, 0.05, true),
          std::tuple(0.3, 0.05, true), std::tuple(0.3, 0.05, false)}) {
      const OptimizerConfig config{.kind = kind, .weight_decay = weight_decay, .clip_value = clip};
      const Floats first = random_floats(7 * 9);
      const Matrix weights = put(first, 7, 9);
      const std::vector<Matrix> state = zero_state(kind, 7, 9);
      std::vector<Scalar> expected(first.size());
      for (size_t i = 0; i < first.size(); ++i) expected[i].w = first[i];

      for (int t = 1; t <= 20; ++t) {
        const Floats gradient = random_floats(first.size(), 2);
        const double rate = 0.01 + 0.001 * t, weight_sum = 3 + t % 4;
        backend_->update(stream_, config,
                         {.weight_sum = weight_sum,
                          .updates = static_cast<uint64_t>(t),
                          .learning_rate = rate,
                          .decay = decays},
                         put(gradient, 7, 9), weights, state);
        for (size_t i = 0; i < first.size(); ++i) {
          expected[i].update(config, gradient[i], weight_sum, rate, t, decays);
        }
      }

      const Floats found = get(weights);
      for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i].w, 1e-5)
            << "optimizer " << static_cast<int>(kind) << " clip " << clip << " decay "
            << weight_decay << " " << decays << " element " << i;
      }
    }
  }
}

// So a local step has the same bits wherever it is done.
TEST_P(BackendOptimizer, GivesTheBitsOfTheFunctionThatServersUse) {
  for (const OptimizerKind kind : kAll) {
    const OptimizerConfig config{.kind = kind, .weight_decay = 0.01, .clip_value = 0.5};
    for (const uint32_t size : {1u, 5000u}) {
      Floats expected = random_floats(size);
      std::vector<Floats> expected_state(state_count(kind), Floats(size));
      const Matrix weights = put(expected, 1, size);
      const std::vector<Matrix> state = zero_state(kind, 1, size);

      for (uint64_t t = 1; t <= 5; ++t) {
        const Floats gradient =
            random_floats(size, std::pow(10.0, 2.0 * static_cast<double>(t) - 6));
        backend_->update(stream_, config,
                         {.weight_sum = 7, .updates = t, .learning_rate = 0.05, .decay = true},
                         put(gradient, 1, size), weights, state);
        const GradientNode whole{0, 1, reinterpret_cast<const std::byte*>(gradient.data())};
        const std::vector<std::span<float>> spans(expected_state.begin(), expected_state.end());
        apply_update(
            config,
            {.gradients = {&whole, 1},
             .update = {.weight_sum = 7, .updates = t, .learning_rate = 0.05, .decay = true},
             .weights_in = expected,
             .weights_out = expected,
             .state = spans});
      }

      EXPECT_TRUE(equal_bits(get(weights), expected)) << static_cast<int>(kind);
      for (size_t s = 0; s < state.size(); ++s) {
        EXPECT_TRUE(equal_bits(get(state[s]), expected_state[s])) << static_cast<int>(kind);
      }
    }
  }
}

TEST_P(BackendOptimizer, LeavesTheGradientAsItIs) {
  const Floats values = random_floats(100);
  const Matrix gradient = put(values, 10, 10), weights = put(values, 10, 10);

  backend_->update(stream_, {}, {.weight_sum = 1, .updates = 1, .learning_rate = 1}, gradient,
                   weights, {});

  EXPECT_EQ(get(gradient), values);
  EXPECT_THAT(get(weights), Each(0.0f));
}

TEST_P(BackendOptimizer, TellsWhatWeightsChangedByTimesAFactor) {
  for (const uint32_t size : {1u, 7u, 100'001u}) {
    const Floats now = random_floats(size), before = random_floats(size);
    const Matrix changes = room(1, size);

    backend_->difference(stream_, put(now, 1, size), put(before, 1, size), 3.7f, changes);

    const Floats found = get(changes);
    for (size_t i = 0; i < size; ++i) {
      const float difference = now[i] - before[i];
      ASSERT_EQ(found[i], difference * 3.7f) << i << " of " << size;
    }
  }
}

TEST_P(BackendOptimizer, CopiesAndClearsOnTheDevice) {
  for (const uint32_t size : {1u, 7u, 100'001u}) {
    const Floats values = random_floats(size);
    const Matrix from = put(values, 1, size), to = room(1, size);

    backend_->copy(stream_, from, to);
    backend_->clear(stream_, from);

    EXPECT_EQ(get(to), values);
    EXPECT_THAT(get(from), Each(0.0f));
  }
}

}  // namespace
}  // namespace ballast
