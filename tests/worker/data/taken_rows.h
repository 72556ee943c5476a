// TakenRows: named rows and room for what a RowPlan makes of them.
#pragma once

#include <numeric>
#include <vector>

#include "worker/data/transform.h"

namespace ballast {

struct TakenRows {
  TakenRows(uint64_t count, const RowPlan& plan)  // rows 0 to count - 1
      : ids(count), features(count * plan.width), labels(count * plan.label.width), weights(count) {
    std::iota(ids.begin(), ids.end(), uint64_t{0});
  }
  [[nodiscard]] RowRoom room() {
    return {ids, features.data(), labels.data(), weights.data(), nullptr};
  }

  std::vector<uint64_t> ids;
  std::vector<float> features, labels, weights;
};

}  // namespace ballast
