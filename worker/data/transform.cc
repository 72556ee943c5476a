#include "worker/data/transform.h"

#include <algorithm>
#include <limits>

#include "common/base/check.h"
#include "worker/data/column_values.h"
#include "worker/data/gather_values.h"
#include "worker/data/list_rows.h"

namespace ballast {

namespace {

// Rows of a batch that are gathered together.
struct RowRange {
  size_t first = 0;
  size_t count = 0;
};

// Of a tile: as many as kTileBytes hold, or `least`.
uint64_t tile_rows(uint64_t row_bytes, uint64_t least) {
  return std::max(least, kTileBytes / std::max<uint64_t>(1, row_bytes));
}

// visit(range) for ranges of `whole` with tile_rows() each.
template <typename Visit>
void for_tiles(const RowRange& whole, uint64_t row_bytes, uint64_t least, Visit visit) {
  const uint64_t most = tile_rows(row_bytes, least);
  for (size_t done = 0; done < whole.count; done += most) {
    visit(RowRange{whole.first + done, std::min<size_t>(most, whole.count - done)});
  }
}

// Gathers one batch, tile after tile and within one column after column: the next column finds the
// tile's rows in the first cache.
class Gatherer {
 public:
  Gatherer(const RowPlan& plan, const RowPasses& passes, const HeldRows& held, const RowRoom& room)
      : plan_(plan), passes_(passes), held_(held), room_(room) {
    for (const ValuePlan& value : plan.features) features_.push_back(scratch_of(value));
    if (plan.has_label()) label_ = scratch_of(plan.label);
  }

  void batch() {
    const uint64_t row_bytes = plan_.feature_bytes() + plan_.label.width * sizeof(float);
    for_tiles({0, room_.ids.size()}, row_bytes, kRowsLeast,
              [this](const RowRange& range) { gather(range); });
    weights();
  }

 private:
  // Of a tile, however wide its rows: each column of a tile has its own cost. 3000 columns of one
  // value took 34 ns a value in tiles of one row, order full (strip: 25), and 14 (8) in tiles
  // of 64.
  static constexpr uint64_t kRowsLeast = 64;

  // Of one value and its crossed ones.
  struct Scratch {
    std::vector<int64_t> ints;
    std::vector<float> floats;  // of a crossed value: it has no room in the batch
    std::vector<float> spare;
    std::vector<Scratch> crossed;
  };

  static uint64_t stage_row_bytes(const ValuePlan& value) {
    return uint64_t{value.value_width} * sizeof(int64_t);
  }

  Scratch scratch_of(const ValuePlan& value) const {
    Scratch scratch;
    if (!value.staged()) return scratch;
    fit(scratch, value, std::min(room_.ids.size(), tile_rows(stage_row_bytes(value), 1)));
    return scratch;
  }

  static void fit(Scratch& scratch, const ValuePlan& value, size_t rows) {
    scratch.ints.resize(rows * value.value_width);
    scratch.spare.resize(value.value_width);
    for (const ValuePlan& crossed : value.crossed) {
      Scratch& room = scratch.crossed.emplace_back();
      fit(room, crossed, rows);
      room.floats.resize(rows * crossed.value_width);
    }
  }

  void gather(const RowRange& range) {
    plan_.stored ? gather_stored(range) : gather_floats(range);
    const uint32_t stride = plan_.label.width;
    if (plan_.has_label()) {
      values(plan_.label, label_, range, room_.labels + range.first * stride, stride);
    }
  }

  void gather_stored(const RowRange& range) {
    std::byte* out = features_of(range.first);
    for (const ValuePlan& value : plan_.features) {
      const Places rows = places(value.input, range);
      copy_values(rows, out, plan_.feature_bytes());
      out += rows.row_bytes;
    }
  }

  void gather_floats(const RowRange& range) {
    auto* out = reinterpret_cast<float*>(features_of(range.first));
    for (size_t i = 0; i < plan_.features.size(); ++i) {
      values(plan_.features[i], features_[i], range, out, plan_.width);
      out += plan_.features[i].width;
    }
  }

  [[nodiscard]] std::byte* features_of(size_t row) const {
    return room_.features + row * plan_.feature_bytes();
  }

  void values(const ValuePlan& value, Scratch& scratch, const RowRange& range, float* out,
              uint64_t stride) {
    const ColumnSpec& spec = plan_.columns[value.input].spec;
    if (value.added) {
      gather_sums(spec, value, places(value.input, range), plan_.columns[*value.added].spec,
                  places(*value.added, range), out, stride);
    } else if (!value.staged()) {
      gather_values(spec, value, places(value.input, range), out, stride);
    } else {
      for_tiles(range, stage_row_bytes(value), 1, [&](const RowRange& tile) {
        run(value, scratch, tile, out + (tile.first - range.first) * stride, stride);
      });
    }
  }

  // Leaves the range's values in `out`, or in scratch.ints if the chain ends with whole numbers.
  void run(const ValuePlan& value, Scratch& scratch, const RowRange& range, float* out,
           uint64_t stride) {
    const Tile tile{.rows = range.count,
                    .width = value.value_width,
                    .ints = scratch.ints.data(),
                    .out = out,
                    .stride = stride,
                    .spare = scratch.spare.data(),
                    .ids = room_.ids.data() + range.first,
                    .epoch = passes_.all,
                    .passes = passes_.each.empty() ? nullptr : passes_.each.data() + range.first};
    if (!value.crossed.empty()) {
      cross(value, scratch, range);
    } else {
      const Places rows = places(value.input, range);
      const ColumnSpec& spec = plan_.columns[value.input].spec;
      value.from_ints ? gather_integers(spec, value, rows, tile.ints)
                      : gather_values(spec, value, rows, out, stride);
    }
    for (const Stage& stage : value.stages) stage(tile);
  }

  void cross(const ValuePlan& value, Scratch& scratch, const RowRange& range) {
    for (size_t i = 0; i < value.crossed.size(); ++i) {
      Scratch& crossed = scratch.crossed[i];
      run(value.crossed[i], crossed, range, crossed.floats.data(), 1);
    }
    std::vector<int64_t> numbers(value.crossed.size());
    for (size_t row = 0; row < range.count; ++row) {
      for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = scratch.crossed[i].ints[row];
      scratch.ints[row] = hash_bucket(numbers, value.cross_seed, value.cross_buckets);
    }
  }

  [[nodiscard]] Places places(size_t column, const RowRange& range) const {
    return {held_.places.subspan(range.first), range.count,
            held_.columns.data() + column * held_.shares,
            held_row_bytes(plan_.columns[column].spec)};
  }

  void weights() {
    std::fill_n(room_.weights, room_.ids.size(), 1.0f);
    if (!plan_.weighs()) return;
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
      // What counts for nothing must not reach infinity on its way through the model. (Weights of
      // classes are not that small: features that are stored may come only with those.)
      if (plan_.training) std::fill_n(features_of(row), plan_.feature_bytes(), std::byte{0});
    }
  }

  // visit(row, value) for every row of a column with one value a row.
  template <typename Visit>
  void each_double(size_t column, Visit visit) {
    const ColumnSpec& spec = plan_.columns[column].spec;
    const Places rows = places(column, {0, room_.ids.size()});
    with_type(spec.type, [&](auto kind) {
      using Value = decltype(kind);
      for (size_t i = 0; i < rows.size(); ++i) {
        visit(i, as_double(load_value<Value>(rows[i], 0)));
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
  const HeldRows& held_;
  const RowRoom& room_;
  std::vector<Scratch> features_;  // by value
  Scratch label_;
};

}  // namespace

void gather_rows(const RowPlan& plan, const RowPasses& passes, const HeldRows& held,
                 const RowRoom& room) {
  BALLAST_CHECK(held.places.size() == room.ids.size());
  BALLAST_CHECK(held.columns.size() == plan.columns.size() * held.shares);
  Gatherer(plan, passes, held, room).batch();
}

}  // namespace ballast
