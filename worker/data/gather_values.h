// What is made of stored values in one pass, column by column: conversion, scaling, one-hot, counts
// and sums of lists. The hot path of transform.h. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "worker/data/transform.h"

namespace ballast {

// Asked for so many rows before their turn: rows of a batch lie anywhere in their blocks
// (bench/micro/stream_bench).
inline constexpr size_t kRowsAhead = 8;

// Where the rows of a tile are held (list_rows.h) and, behind them, those that come next.
struct Places {
  std::span<const std::byte* const> rows;
  std::span<const std::byte* const> and_next;  // begins with `rows`

  [[nodiscard]] size_t size() const { return rows.size(); }
  const std::byte* operator[](size_t i) const { return rows[i]; }
};

// The first two: the values of row i go to out[i * stride], as many as plan.width, or
// plan.value_width where stages follow. Values were checked as their block was read
// (check_values.h).

// `rows` hold values of `spec`, and plan.added is not set.
void gather_values(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows, float* out,
                   uint64_t stride);
// plan.added is set: `rows` hold ids, `added` what is added up, lists of `added_spec`.
void gather_sums(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows,
                 const ColumnSpec& added_spec, const Places& added, float* out, uint64_t stride);
// Whole numbers as they are: plan.value_width of each row, one row behind the other.
void gather_integers(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows,
                     int64_t* integers);

}  // namespace ballast
