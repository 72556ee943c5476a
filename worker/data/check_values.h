// The refusal of values that training cannot use. Pure.
#pragma once

#include <cstddef>
#include <span>

#include "common/base/status.h"
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

// raw: the column's rows of this block. kInvalidInput: NaN, Inf, or outside of a one-hot's classes;
// names chunk, block, row, column, value, expected, found.
[[nodiscard]] Status check_values(const Dataset& dataset, const ColumnPlan& plan,
                                  const BlockPlace& block, std::span<const std::byte> raw);

}  // namespace ballast
