// The refusal of values that training cannot use. Pure.
#pragma once

#include <span>

#include "common/base/status.h"
#include "worker/data/block_decoder.h"
#include "worker/data/dataset.h"
#include "worker/data/transform.h"

namespace ballast {

// held: the column's rows of this block. kInvalidInput: NaN, Inf, or outside of the classes of a
// one_hot or multi_hot; names chunk, block, row, column, value, expected, found.
[[nodiscard]] Status check_values(const Dataset& dataset, const ColumnPlan& plan,
                                  const BlockPlace& block, const HeldColumn& held);

// held: all columns of the plan. kInvalidInput: what either of those around this finds.
[[nodiscard]] Status check_block(const Dataset& dataset, const RowPlan& plan,
                                 const BlockPlace& block, std::span<const HeldColumn> held);

// held: all columns of the plan. kInvalidInput: the two lists of a pair (RowPlan::pairs) are not
// equally long; names chunk, block, row and both columns.
[[nodiscard]] Status check_pairs(const Dataset& dataset, const RowPlan& plan,
                                 const BlockPlace& block, std::span<const HeldColumn> held);

}  // namespace ballast
