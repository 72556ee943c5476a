// TakenRows: rows and room for what a RowPlan makes of them.
#pragma once

#include <numeric>
#include <vector>

#include "worker/data/block_store.h"
#include "worker/data/transform.h"

namespace ballast {

struct TakenRows {
  TakenRows(uint64_t count, const RowPlan& plan)  // rows 0 to count - 1
      : ids(count), features(count * plan.width), labels(count * plan.label.width), weights(count) {
    std::iota(ids.begin(), ids.end(), uint64_t{0});
  }
  [[nodiscard]] RowRoom room() {
    return {ids, std::as_writable_bytes(std::span(features)).data(), labels.data(), weights.data(),
            nullptr};
  }
  // The first rows of a block.
  void gather(const RowPlan& plan, const Block& block) {
    std::vector<const std::byte*> columns;
    for (size_t column = 0; column < plan.columns.size(); ++column) {
      columns.push_back(block.column(column));
    }
    gather_rows(plan, 0, {ids, columns, 1}, room());
  }

  std::vector<uint64_t> ids;
  std::vector<float> features, labels, weights;
};

}  // namespace ballast
