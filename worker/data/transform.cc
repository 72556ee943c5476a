#include "worker/data/transform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

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

// Rows are far apart: ask for one early enough that it is there when its turn comes.
void prefetch_row(const std::byte* row, uint64_t bytes) {
  constexpr uint64_t kLine = 64;
  constexpr uint64_t kBytesMax = 2048;  // the hardware follows a longer run by itself
  for (uint64_t at = 0; at < std::min(bytes, kBytesMax); at += kLine) __builtin_prefetch(row + at);
}

using Places = std::span<const std::byte* const>;

// Calls convert(row, out) for every row, asking for the rows to come.
template <typename Value, typename Convert>
void for_rows(uint64_t row_bytes, Places rows, float* out, uint64_t stride, Convert convert) {
  constexpr size_t kAhead = 4;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + kAhead < rows.size()) prefetch_row(rows[i + kAhead], row_bytes);
    convert(reinterpret_cast<const Value*>(rows[i]), out + i * stride);
  }
}

template <typename Value>
void gather_scaled(const ColumnSpec& spec, const ValuePlan& plan, Places rows, float* out,
                   uint64_t stride) {
  const uint64_t bytes = spec.row_bytes();
  const uint64_t width = spec.width();
  if (plan.plain) {
    for_rows<Value>(bytes, rows, out, stride,
                    [=](const Value* in, float* row) { convert_row(in, row, width); });
  } else if (plan.factor.size() == 1) {
    const float center = plan.center[0], factor = plan.factor[0], shift = plan.shift[0];
    for_rows<Value>(bytes, rows, out, stride, [=](const Value* in, float* row) {
      scale_row(in, row, width, center, factor, shift);
    });
  } else {
    const float *center = plan.center.data(), *factor = plan.factor.data(),
                *shift = plan.shift.data();
    for_rows<Value>(bytes, rows, out, stride, [=](const Value* in, float* row) {
      scale_row(in, row, width, center, factor, shift);
    });
  }
}

template <typename Integer>
void gather_one_hot(uint32_t classes, Places rows, float* out, uint64_t stride) {
  for (size_t i = 0; i < rows.size(); ++i) {
    float* row = out + i * stride;
    std::fill_n(row, classes, 0.0f);
    row[static_cast<uint64_t>(load_value<Integer>(rows[i], 0))] = 1.0f;  // checked when read
  }
}

template <typename Integer>
void gather_multi_hot(uint32_t classes, Places rows, float* out, uint64_t stride) {
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
template <typename Integer>
void gather_sums(uint32_t classes, Places rows, const ColumnSpec& value_spec, Places value_rows,
                 float* out, uint64_t stride) {
  with_type(value_spec.type, [&](auto kind) {
    using Value = decltype(kind);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto ids = load_value<ListRow>(rows[i], 0);
      const auto values = load_value<ListRow>(value_rows[i], 0);
      float* row = out + i * stride;
      std::fill_n(row, classes, 0.0f);
      for (uint64_t k = 0; k < ids.count; ++k) {  // in [0, classes): checked when read
        row[static_cast<uint64_t>(load_value<Integer>(ids.first, k))] +=
            as_float(load_value<Value>(values.first, k));
      }
    }
  });
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
void gather_padded(const ColumnSpec& spec, const ValuePlan& plan, Places rows, float* out,
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

// One pass from the stored values.
void gather_once(const ColumnSpec& spec, const ValuePlan& plan, Places rows, float* out,
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
    gather_scaled<Value>(spec, plan, rows, out, stride);
  });
}

void load_ints(const ColumnSpec& spec, const ValuePlan& plan, Places rows, int64_t* ints) {
  with_type(spec.type, [&](auto kind) {
    using Value = decltype(kind);
    if constexpr (std::is_integral_v<Value>) {
      const uint64_t width = plan.value_width;
      const auto whole = [](Value value) { return static_cast<int64_t>(value); };
      for (size_t r = 0; r < rows.size(); ++r) {
        int64_t* row = ints + r * width;
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

// Gathers one batch, column after column.
class Gatherer {
 public:
  Gatherer(const RowPlan& plan, const RowPasses& passes, const FindPlaces& find,
           const RowRoom& room)
      : plan_(plan), passes_(passes), find_(find), room_(room), places_(room.ids.size()) {}

  void values(const ValuePlan& value, float* out, uint64_t stride) {
    if (value.added) return sums(value, out, stride);
    if (!value.staged()) {
      find_(value.input, places_);
      return gather_once(plan_.columns[value.input].spec, value, places_, out, stride);
    }
    const size_t rows = room_.ids.size();
    const uint64_t row_bytes = uint64_t{value.value_width} * sizeof(int64_t);
    const auto tile_rows = static_cast<size_t>(std::max<uint64_t>(1, kTileBytes / row_bytes));
    Scratch scratch = scratch_of(value, std::min(rows, tile_rows));
    for (size_t first = 0; first < rows; first += tile_rows) {
      const size_t count = std::min(tile_rows, rows - first);
      run(value, scratch, first, count, out + first * stride, stride);
    }
  }

  void weights() {
    std::fill_n(room_.weights, room_.ids.size(), 1.0f);
    if (!plan_.weight.empty()) {
      each_double(plan_.weight[0], [&](size_t row, double value) {
        room_.weights[row] = static_cast<float>(value);
      });
    }
    if (!plan_.class_weights.empty()) {
      each_double(plan_.label.input, [&](size_t row, double value) {
        const auto found = plan_.class_weights.find(static_cast<int64_t>(value));
        if (found != plan_.class_weights.end()) {
          room_.weights[row] = static_cast<float>(room_.weights[row] * found->second);
        }
      });
    }
    for (const FilterPlan& filter : plan_.filters) {
      each_double(filter.input, [&](size_t row, double value) {
        if (!holds(filter.relation, value, filter.value)) leave_out(row);
      });
    }
    for (size_t row = 0; row < room_.ids.size(); ++row) {
      if (room_.weights[row] >= std::numeric_limits<float>::min()) continue;
      room_.weights[row] = 0;
      // What counts for nothing must not reach infinity on its way through the model.
      if (plan_.training) std::fill_n(room_.features + row * plan_.width, plan_.width, 0.0f);
    }
  }

 private:
  // Of one value and its crossed ones.
  struct Scratch {
    std::vector<const std::byte*> places;  // of the whole batch
    std::vector<int64_t> ints;
    std::vector<float> floats;  // of a crossed value: it has no room in the batch
    std::vector<float> spare;
    std::vector<Scratch> crossed;
  };

  void sums(const ValuePlan& value, float* out, uint64_t stride) {
    std::vector<const std::byte*> added(room_.ids.size());
    find_(value.input, places_);
    find_(*value.added, added);
    with_type(plan_.columns[value.input].spec.type, [&](auto kind) {
      using Id = decltype(kind);
      if constexpr (std::is_integral_v<Id>) {
        gather_sums<Id>(value.classes, places_, plan_.columns[*value.added].spec, added, out,
                        stride);
      }
    });
  }

  Scratch scratch_of(const ValuePlan& value, size_t tile_rows) {
    Scratch scratch;
    scratch.ints.resize(tile_rows * value.value_width);
    scratch.spare.resize(value.value_width);
    for (const ValuePlan& part : value.crossed) {
      scratch.crossed.push_back(scratch_of(part, tile_rows));
      scratch.crossed.back().floats.resize(tile_rows * part.value_width);
    }
    if (value.crossed.empty()) {
      scratch.places.resize(room_.ids.size());
      find_(value.input, scratch.places);
    }
    return scratch;
  }

  // Leaves the tile's values in `out`, or in scratch.ints if the chain ends with whole numbers.
  void run(const ValuePlan& value, Scratch& scratch, size_t first, size_t count, float* out,
           uint64_t stride) {
    const Tile tile{.rows = count,
                    .width = value.value_width,
                    .ints = scratch.ints.data(),
                    .out = out,
                    .stride = stride,
                    .spare = scratch.spare.data(),
                    .ids = room_.ids.data() + first,
                    .epoch = passes_.all,
                    .passes = passes_.each.empty() ? nullptr : passes_.each.data() + first};
    if (!value.crossed.empty()) {
      cross(value, scratch, first, count);
    } else {
      const Places rows = Places(scratch.places).subspan(first, count);
      const ColumnSpec& spec = plan_.columns[value.input].spec;
      value.from_ints ? load_ints(spec, value, rows, tile.ints)
                      : gather_once(spec, value, rows, out, stride);
    }
    for (const Stage& stage : value.stages) stage(tile);
  }

  void cross(const ValuePlan& value, Scratch& scratch, size_t first, size_t count) {
    for (size_t i = 0; i < value.crossed.size(); ++i) {
      Scratch& part = scratch.crossed[i];
      run(value.crossed[i], part, first, count, part.floats.data(), 1);
    }
    std::vector<int64_t> numbers(value.crossed.size());
    for (size_t row = 0; row < count; ++row) {
      for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = scratch.crossed[i].ints[row];
      scratch.ints[row] = hash_bucket(numbers, value.cross_seed, value.cross_buckets);
    }
  }

  // visit(row, value) for every row of a column with one value a row.
  template <typename Visit>
  void each_double(size_t column, Visit visit) {
    find_(column, places_);
    with_type(plan_.columns[column].spec.type, [&](auto kind) {
      using Value = decltype(kind);
      for (size_t row = 0; row < places_.size(); ++row) {
        visit(row, as_double(load_value<Value>(places_[row], 0)));
      }
    });
  }

  static bool holds(Relation relation, double value, double bound) {
    switch (relation) {
      case Relation::kEqual:
        return value == bound;
      case Relation::kNotEqual:
        return value != bound;
      case Relation::kLess:
        return value < bound;
      case Relation::kLessOrEqual:
        return value <= bound;
      case Relation::kGreater:
        return value > bound;
      case Relation::kGreaterOrEqual:
        return value >= bound;
    }
    return false;
  }

  void leave_out(size_t row) {
    room_.weights[row] = 0;
    std::fill_n(room_.labels + row * plan_.label.width, plan_.label.width, 0.0f);
  }

  const RowPlan& plan_;
  const RowPasses& passes_;
  const FindPlaces& find_;
  const RowRoom& room_;
  std::vector<const std::byte*> places_;
};

}  // namespace

void gather_rows(const RowPlan& plan, const RowPasses& passes, const FindPlaces& find,
                 const RowRoom& room) {
  Gatherer gatherer(plan, passes, find, room);
  float* out = room.features;
  for (const ValuePlan& value : plan.features) {
    gatherer.values(value, out, plan.width);
    out += value.width;
  }
  if (plan.has_label()) gatherer.values(plan.label, room.labels, plan.label.width);
  gatherer.weights();
}

}  // namespace ballast
