// From stored columns to the rows a model sees: which columns are read, what is made of them by
// which transforms, what each row weighs. RowPlan is made once from the job and the manifest;
// gather_rows() is the hot path. Pure.
//
// Transforms of a column follow one another in the order of the file. Leading scale and standardize
// are held as one (x - center) * factor + shift with a value for all features or one for each;
// subtracting first keeps large, narrow columns (times, identifiers) exact. Whatever else there is
// works on tiles of rows, kTileBytes of 8-byte values each (or one row, if that is more), stage by
// stage (transform/stage.h). Whole numbers stay whole (64 bits) up to the first stage that does not
// take them.
//
// Lists need one of two transforms before all others, because a model has a fixed width: multi_hot
// makes `classes` counts of a list of integers, or sums of the values that another list has beside
// them; pad takes its first `items` items and `fill` for what it lacks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/stored_features.h"
#include "common/config/job_config.h"
#include "worker/data/dataset.h"
#include "worker/data/transform/stage.h"

namespace ballast {

inline constexpr uint64_t kTileBytes = 16 << 10;  // half of the first cache

// A column that is read, once, whatever is made of it.
struct ColumnPlan {
  size_t column = 0;  // index into the data set's columns
  ColumnSpec spec;
  uint32_t classes = 0;    // values must be from 0 to classes - 1; 0: any finite ones
  bool is_weight = false;  // values must be >= 0
  bool operator==(const ColumnPlan&) const = default;
};

// What is made of one column, or of several (cross).
struct ValuePlan {
  size_t input = 0;    // index into RowPlan::columns
  uint32_t width = 0;  // floats a row, after transforms

  // Without stages: converted (plain), scaled, one-hot or multi-hot (classes > 0) in one pass.
  uint32_t classes = 0;
  std::optional<size_t> added;  // multi-hot: the column of lists added up; none: ones
  double fill = 0;              // of lists that are padded
  bool plain = true;
  std::vector<float> center{0};  // one value, or one for each
  std::vector<float> factor{1};
  std::vector<float> shift{0};

  std::vector<Stage> stages;
  bool from_ints = false;    // the first stage takes whole numbers
  uint32_t value_width = 0;  // values a row while they are whole, or moved within a row

  std::vector<ValuePlan> crossed;  // each a whole number a row; then `input` is not used
  uint64_t cross_buckets = 0;
  uint64_t cross_seed = 0;

  [[nodiscard]] bool staged() const { return !stages.empty() || !crossed.empty(); }
};

// Rows whose value does not stand in this relation weigh 0.
struct FilterPlan {
  size_t input = 0;
  Relation relation = Relation::kEqual;
  double value = 0;
};

// Two columns of lists, as indices into RowPlan::columns: an id and what is added there. Both lists
// of a row must be equally long.
struct ListPair {
  size_t ids = 0;
  size_t values = 0;
};

struct RowPlan {
  std::vector<ColumnPlan> columns;  // what is read: of the features, the label, weights and filters
  std::vector<ValuePlan> features;  // joined in this order
  ValuePlan label;  // of width 0 when the config names none: predictions need no answers
  uint32_t width = 0;
  std::vector<ListPair> pairs;
  std::vector<size_t> weight;  // the column of weights, or none
  std::vector<FilterPlan> filters;
  std::map<int64_t, double> class_weights;  // by label; empty: none
  bool training = false;                    // RowUse::training
  // RowUse::stored, and every feature is of one stored type and at most scaled, and every row
  // weighs something: how floats are made of what gather_rows() leaves as it is. Null: it makes
  // them.
  std::shared_ptr<const StoredFeatures> stored;

  // Of a row's features where they stay as they are stored; 0: they are floats.
  [[nodiscard]] uint64_t stored_bytes() const {
    return stored ? width * bytes_of(stored->type) : 0;
  }
  [[nodiscard]] uint64_t feature_bytes() const {  // of a row
    return stored ? stored_bytes() : width * sizeof(float);
  }
  [[nodiscard]] bool has_label() const { return label.width > 0; }
  [[nodiscard]] bool weighs() const {
    return !weight.empty() || !filters.empty() || !class_weights.empty();
  }
};

// What the rows are for. Evaluation and prediction leave random transforms and class weights out.
struct RowUse {
  bool training = false;
  uint64_t seed = 0;                        // training: of the job
  std::map<int64_t, double> class_weights;  // training: data.balance
  bool stored = false;                      // features may stay as they are stored
};

// kNotFound: no such column. kInvalidInput: a transform on a column that is not used or whose type
// or width does not fit.
Result<RowPlan> plan_rows(const Dataset& dataset, const DataConfig& config, const RowUse& use = {});

// The first value of `raw` (rows of plan.spec) that training cannot use: NaN, Inf, outside of
// [0, classes), or a weight below 0. Returns its index among all values of `raw`, or the count when
// there is none.
[[nodiscard]] uint64_t find_unusable(const ColumnPlan& plan, std::span<const std::byte> raw);

// Where rows go: features[ids.size(), plan.width], of floats or as stored, labels[ids.size(),
// plan.label.width], weights[ids.size()].
struct RowRoom {
  std::span<uint64_t> ids;        // of the data set
  std::byte* features = nullptr;  // plan.feature_bytes() a row
  float* labels = nullptr;
  float* weights = nullptr;
  // Where the blocks that the rows come from are added, some more than once; null: nobody asks.
  std::vector<uint64_t>* blocks = nullptr;
};

// How often each row of a batch was taken before, modulo 2^32: what random transforms draw from.
struct RowPasses {
  RowPasses(uint64_t epoch) : all(epoch) {}  // NOLINT: implicit, each row comes once an epoch
  RowPasses(std::span<const uint32_t> each_row) : each(each_row) {}  // NOLINT: as above

  uint64_t all = 0;
  std::span<const uint32_t> each;  // empty: `all`
};

// Where the rows of a batch are held. A place is share << 32 | row: a row of a share, whose rows
// lie one behind the other in each column (list_rows.h). Borrowed for the call.
struct HeldRows {
  [[nodiscard]] static uint64_t place(uint64_t share, uint32_t row) { return share << 32 | row; }
  [[nodiscard]] static uint64_t share_of(uint64_t place) { return place >> 32; }
  [[nodiscard]] static uint32_t row_of(uint64_t place) { return static_cast<uint32_t>(place); }

  std::span<const uint64_t> places;           // of each row of the batch
  std::span<const std::byte* const> columns;  // [RowPlan::columns, shares]: row 0 of each
  size_t shares = 0;
};

// Fills features, labels and weights of the rows at held.places; room.ids, as many, are what random
// transforms draw from. A row that a filter leaves out has the label 0, so that labels a model
// cannot have may be filtered away. Weights below the least normal float are 0: sums of them could
// not be divided by. In training, rows that weigh 0 have features of 0.
void gather_rows(const RowPlan& plan, const RowPasses& passes, const HeldRows& held,
                 const RowRoom& room);

}  // namespace ballast
