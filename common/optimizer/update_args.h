// What an update goes by, beside the optimizer and the values.
#pragma once

#include <cstdint>

namespace ballast {

struct UpdateArgs {
  double weight_sum = 0;     // > 0: gradients are sums over samples
  uint64_t updates = 0;      // t: 1 for the first update
  double learning_rate = 0;  // after schedule and staleness
  bool decay = false;        // ParameterSpec::decay
};

}  // namespace ballast
