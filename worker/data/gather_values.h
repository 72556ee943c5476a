// What is made of stored values in one pass, column by column: conversion, scaling, one-hot, counts
// and sums of lists. The hot path of transform.h. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "worker/data/transform.h"

namespace ballast {

// Where a column of a tile's rows is held (HeldRows).
struct Places {
  std::span<const uint64_t> rows;  // of the tile, and behind them the others of the batch
  size_t count = 0;                // of the tile
  const std::byte* const* shares = nullptr;
  uint64_t row_bytes = 0;

  [[nodiscard]] size_t size() const { return count; }
  const std::byte* operator[](size_t i) const { return find(i, row_bytes); }
  // `bytes`: row_bytes, which the caller's compiler may know.
  [[nodiscard]] const std::byte* find(size_t i, uint64_t bytes) const {
    return shares[HeldRows::share_of(rows[i])] + HeldRows::row_of(rows[i]) * bytes;
  }
};

// The first two: the values of row i go to out[i * stride], as many as plan.width, or
// plan.value_width where stages follow. Values were checked as their block was read
// (check_values.h).

// `rows` hold values of `spec`, and plan.added is not set.
void gather_values(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows, float* out,
                   uint64_t stride);
// What each row holds, as it is, to out + i * stride bytes.
void copy_values(const Places& rows, std::byte* out, uint64_t stride);
// plan.added is set: `rows` hold ids, `added` what is added up, lists of `added_spec`.
void gather_sums(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows,
                 const ColumnSpec& added_spec, const Places& added, float* out, uint64_t stride);
// Whole numbers as they are: plan.value_width of each row, one row behind the other.
void gather_integers(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows,
                     int64_t* integers);

}  // namespace ballast
