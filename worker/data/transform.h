// From stored columns to the float rows a model sees: which columns, in which order, through which
// transforms. RowPlan is made once from the job and the manifest; gather() is the hot path. Pure.
//
// scale: x * factor + shift. standardize: (x - mean) / std. Both are held as one
// (x - center) * factor + shift with a value for all features or one for each; subtracting first
// keeps large, narrow columns (times, identifiers) exact. one_hot: an integer column of one value a
// row becomes `classes` values.
//
// Lists need one of two transforms, because a model has a fixed width. multi_hot: a list of
// integers becomes `classes` counts. pad: a list becomes its first `items` items, what it lacks is
// `fill`; it comes first, and others then find a column of as many values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/data/dataset.h"

namespace ballast {

struct ColumnPlan {
  size_t column = 0;  // index into the data set's columns
  ColumnSpec spec;
  uint32_t width = 0;            // floats a row, after transforms
  uint32_t classes = 0;          // one_hot, multi_hot; 0: not
  float fill = 0;                // pad
  bool plain = true;             // no scaling: the value as a float
  std::vector<float> center{0};  // one value, or spec.width()
  std::vector<float> factor{1};
  std::vector<float> shift{0};
};

struct RowPlan {
  std::vector<ColumnPlan> features;  // joined in this order
  ColumnPlan label;  // of width 0 when the config names none: predictions need no answers
  uint32_t width = 0;

  [[nodiscard]] bool has_label() const { return label.width > 0; }
};

// The features, then the label if there is one.
[[nodiscard]] std::vector<const ColumnPlan*> plan_columns(const RowPlan& plan);

// kNotFound: no such column. kInvalidInput: a transform on a column that is not used or whose type
// or width does not fit.
Result<RowPlan> plan_rows(const Dataset& dataset, const DataConfig& config);

// The first value of `raw` (rows of plan.spec) that training cannot use: NaN, Inf, or outside
// [0, classes) for one_hot and multi_hot. Returns its index among all values of `raw`, or the count
// when there is none.
[[nodiscard]] uint64_t find_unusable(const ColumnPlan& plan, std::span<const std::byte> raw);
// out[i * stride .. + plan.width) = the value of the column whose row, as it is held (list_rows.h),
// begins at rows[i].
void gather(const ColumnPlan& plan, std::span<const std::byte* const> rows, float* out,
            uint64_t stride);

}  // namespace ballast
