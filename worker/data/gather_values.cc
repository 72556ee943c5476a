#include "worker/data/gather_values.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "common/base/check.h"
#include "worker/data/column_values.h"
#include "worker/data/list_rows.h"

namespace ballast {

namespace {

template <typename Value>
void convert_row(const Value* __restrict in, float* __restrict out, uint64_t width) {
  for (uint64_t k = 0; k < width; ++k) out[k] = as_float(in[k]);
}
void convert_row(const float* __restrict in, float* __restrict out, uint64_t width) {
  std::memcpy(out, in, width * sizeof(float));
}

template <typename Value>
void scale_row(const Value* __restrict in, float* __restrict out, uint64_t width, float center,
               float factor, float shift) {
  for (uint64_t k = 0; k < width; ++k) out[k] = (as_float(in[k]) - center) * factor + shift;
}

template <typename Value>
void scale_row(const Value* __restrict in, float* __restrict out, uint64_t width,
               const float* __restrict center, const float* __restrict factor,
               const float* __restrict shift) {
  for (uint64_t k = 0; k < width; ++k) {
    out[k] = (as_float(in[k]) - center[k]) * factor[k] + shift[k];
  }
}

constexpr uint64_t kAskedMost = 2048;  // of a row: the hardware follows a longer run by itself

// Rows are far apart: ask for one early enough that it is there when its turn comes.
void prefetch_row(const std::byte* row, uint64_t bytes) {
  constexpr uint64_t kLine = 64;
  const uint64_t most = std::min(bytes, kAskedMost);
  for (uint64_t at = 0; at < most; at += kLine) __builtin_prefetch(row + at);
  __builtin_prefetch(row + most - 1);  // rows begin anywhere in a line
}

// How many rows before its turn: small ones earlier, as many of the large as half of the first
// cache holds. Rows of 160 bytes, 8, 16 and 24 ahead: 0.69, 0.73 and 0.72 of the bare loop's rate
// (bench/micro/stream_bench, medians of three, side by side, Intel Xeon).
constexpr uint64_t rows_ahead(uint64_t row_bytes) {
  constexpr uint64_t kBytes = 16 << 10;
  return std::clamp<uint64_t>(kBytes / std::clamp<uint64_t>(row_bytes, 1, kAskedMost), 8, 16);
}

// Calls convert(row, out) for every row, asking for the rows to come.
template <typename Value, typename Bytes, typename Out, typename Convert>
void for_rows(Bytes row_bytes, const Places& rows, Out* out, uint64_t stride, Convert convert) {
  const uint64_t ahead = rows_ahead(row_bytes);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + ahead < rows.rows.size()) {
      prefetch_row(rows.find(i + ahead, row_bytes), row_bytes);
    }
    convert(reinterpret_cast<const Value*>(rows.find(i, row_bytes)), out + i * stride);
  }
}

// Widths that the compiler knows need neither loops nor calls: one value, and the columns of click
// logs (Criteo; bench/micro/stream_bench has such rows).
template <typename Visit>
void with_width(uint64_t width, Visit visit) {
  switch (width) {
    case 1:
      return visit(std::integral_constant<uint64_t, 1>());
    case 13:
      return visit(std::integral_constant<uint64_t, 13>());
    case 26:
      return visit(std::integral_constant<uint64_t, 26>());
    default:
      return visit(width);
  }
}

template <typename Value>
uint64_t row_bytes_of(uint64_t width) {
  return width * sizeof(Value);
}
template <typename Value, uint64_t kWidth>
auto row_bytes_of(std::integral_constant<uint64_t, kWidth>) {
  return std::integral_constant<uint64_t, kWidth * sizeof(Value)>();
}

template <typename Value>
void gather_fixed(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows, float* out,
                  uint64_t stride) {
  const float *center = plan.center.data(), *factor = plan.factor.data(),
              *shift = plan.shift.data();
  with_width(spec.width(), [&](auto width) {
    const auto bytes = row_bytes_of<Value>(width);
    BALLAST_CHECK(bytes == rows.row_bytes);
    if (plan.plain) {
      for_rows<Value>(bytes, rows, out, stride,
                      [=](const Value* in, float* row) { convert_row(in, row, width); });
    } else if (plan.factor.size() == 1) {
      for_rows<Value>(
          bytes, rows, out, stride,
          [width, center = *center, factor = *factor, shift = *shift](const Value* in, float* row) {
            scale_row(in, row, width, center, factor, shift);
          });
    } else {
      for_rows<Value>(bytes, rows, out, stride, [=](const Value* in, float* row) {
        scale_row(in, row, width, center, factor, shift);
      });
    }
  });
}

template <typename Integer>
void gather_one_hot(uint32_t classes, const Places& rows, float* out, uint64_t stride) {
  for (size_t i = 0; i < rows.size(); ++i) {
    float* row = out + i * stride;
    std::fill_n(row, classes, 0.0f);
    row[static_cast<uint64_t>(load_value<Integer>(rows[i], 0))] = 1.0f;  // checked when read
  }
}

template <typename Integer>
void gather_multi_hot(uint32_t classes, const Places& rows, float* out, uint64_t stride) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto list = load_value<ListRow>(rows[i], 0);
    float* row = out + i * stride;
    std::fill_n(row, classes, 0.0f);
    for (uint64_t k = 0; k < list.count; ++k) {  // in [0, classes): checked when read
      row[static_cast<uint64_t>(load_value<Integer>(list.first, k))] += 1.0f;
    }
  }
}

// Lists of a row are equally long: checked when read.
template <typename Integer, typename Value>
void add_lists(uint32_t classes, const Places& rows, const Places& added, float* out,
               uint64_t stride) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto ids = load_value<ListRow>(rows[i], 0);
    const auto values = load_value<ListRow>(added[i], 0);
    float* row = out + i * stride;
    std::fill_n(row, classes, 0.0f);
    for (uint64_t k = 0; k < ids.count; ++k) {  // in [0, classes): checked when read
      row[static_cast<uint64_t>(load_value<Integer>(ids.first, k))] +=
          as_float(load_value<Value>(values.first, k));
    }
  }
}

// The first values of each list, then `fill`, as many as `width`. visit(value) makes what is kept.
template <typename Value, typename Kept, typename Visit>
void pad_list(const std::byte* held, uint64_t item_width, Kept fill, uint64_t width, Kept* row,
              Visit visit) {
  const auto list = load_value<ListRow>(held, 0);
  const uint64_t there = std::min<uint64_t>(list.count * item_width, width);
  for (uint64_t k = 0; k < there; ++k) row[k] = visit(load_value<Value>(list.first, k));
  std::fill(row + there, row + width, fill);
}

template <typename Value>
void gather_padded(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows, float* out,
                   uint64_t stride) {
  const size_t last = plan.factor.size() - 1;  // one value, or one for each
  for (size_t i = 0; i < rows.size(); ++i) {
    float* row = out + i * stride;
    pad_list<Value>(rows[i], spec.width(), static_cast<float>(plan.fill), plan.value_width, row,
                    [](Value value) { return as_float(value); });
    if (plan.plain) continue;
    for (size_t k = 0; k < plan.value_width; ++k) {
      const size_t v = std::min(k, last);
      row[k] = (row[k] - plan.center[v]) * plan.factor[v] + plan.shift[v];
    }
  }
}

}  // namespace

void gather_values(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows, float* out,
                   uint64_t stride) {
  with_type(spec.type, [&](auto kind) {
    using Value = decltype(kind);
    if constexpr (std::is_integral_v<Value>) {
      if (plan.classes > 0 && spec.variable) {
        return gather_multi_hot<Value>(plan.classes, rows, out, stride);
      }
      if (plan.classes > 0) return gather_one_hot<Value>(plan.classes, rows, out, stride);
    }
    if (spec.variable) return gather_padded<Value>(spec, plan, rows, out, stride);
    gather_fixed<Value>(spec, plan, rows, out, stride);
  });
}

void copy_values(const Places& rows, std::byte* out, uint64_t stride) {
  const uint64_t bytes = rows.row_bytes;
  for_rows<std::byte>(bytes, rows, out, stride, [bytes](const std::byte* in, std::byte* row) {
    std::memcpy(row, in, bytes);
  });
}

void gather_sums(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows,
                 const ColumnSpec& added_spec, const Places& added, float* out, uint64_t stride) {
  with_type(spec.type, [&](auto id) {
    using Id = decltype(id);
    if constexpr (std::is_integral_v<Id>) {
      with_type(added_spec.type, [&](auto value) {
        add_lists<Id, decltype(value)>(plan.classes, rows, added, out, stride);
      });
    }
  });
}

void gather_integers(const ColumnSpec& spec, const ValuePlan& plan, const Places& rows,
                     int64_t* integers) {
  with_type(spec.type, [&](auto kind) {
    using Value = decltype(kind);
    if constexpr (std::is_integral_v<Value>) {
      const uint64_t width = plan.value_width;
      const auto whole = [](Value value) { return static_cast<int64_t>(value); };
      for (size_t r = 0; r < rows.size(); ++r) {
        int64_t* row = integers + r * width;
        if (spec.variable) {
          pad_list<Value>(rows[r], spec.width(), static_cast<int64_t>(plan.fill), width, row,
                          whole);
          continue;
        }
        for (uint64_t k = 0; k < width; ++k) row[k] = whole(load_value<Value>(rows[r], k));
      }
    }
  });
}

}  // namespace ballast
