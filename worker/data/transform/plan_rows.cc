// plan_rows(): columns, chains and weights from the job and the manifest.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "common/base/check.h"
#include "worker/data/column_values.h"
#include "worker/data/transform.h"

namespace ballast {
namespace {

constexpr uint32_t kValuesMax = std::numeric_limits<uint32_t>::max() / sizeof(float);

// The composition so far, in double: (x - center) * factor + shift, a value for each feature.
struct Affine {
  std::vector<double> center{0}, factor{1}, shift{0};
};

void widen(Affine& affine, size_t width) {
  for (auto* values : {&affine.center, &affine.factor, &affine.shift}) {
    if (values->size() < width) values->resize(width, values->front());
  }
}

void apply_scale(const TransformConfig& transform, Affine& affine) {
  for (size_t i = 0; i < affine.factor.size(); ++i) {
    affine.factor[i] *= transform.factor;
    affine.shift[i] = affine.shift[i] * transform.factor + transform.shift;
  }
}

// Its values were checked by make_stage().
void apply_standardize(const TransformConfig& transform, Affine& affine) {
  widen(affine, std::max(transform.mean.size(), transform.std.size()));
  for (size_t i = 0; i < affine.factor.size(); ++i) {
    const double mean = transform.mean[transform.mean.size() == 1 ? 0 : i];
    const double std = transform.std[transform.std.size() == 1 ? 0 : i];
    if (affine.factor[i] != 0) {
      affine.center[i] += (mean - affine.shift[i]) / affine.factor[i];
      affine.shift[i] = 0;
    } else {
      affine.shift[i] = (affine.shift[i] - mean) / std;
    }
    affine.factor[i] /= std;
  }
}

bool is_affine(TransformKind kind) {
  return kind == TransformKind::kScale || kind == TransformKind::kStandardize;
}

// Makes the plan of one value by taking its transforms one after another.
class Chain {
 public:
  Chain(const ColumnSpec& spec, const RowUse& use) : use_(use) {
    state_.spec = spec;
    state_.integer = is_integer(spec.type);
    set_width(spec.variable ? 0 : static_cast<uint32_t>(spec.width()));
  }

  // Of crossed values, each a whole number.
  Chain(const TransformConfig& cross, std::vector<ValuePlan> parts, const RowUse& use) : use_(use) {
    state_ = {.spec = {cross.column, ColumnType::kI64, {}},
              .width = 1,
              .integer = true,
              .known = true,
              .least = 0,
              .most = static_cast<int64_t>(cross.buckets) - 1};
    value_.value_width = value_.width = 1;
    value_.crossed = std::move(parts);
    value_.cross_buckets = cross.buckets;
    value_.cross_seed = cross.hash_seed;
    begun_ = true;
  }

  Status add(const TransformConfig& transform, uint64_t index) {
    if (ended_) {
      return refused(transform, fmt::format("a {} column takes no other transform",
                                            is_list() ? "multi_hot" : "one_hot"));
    }
    if (transform.kind == TransformKind::kPad) return add_pad(transform);
    if (transform.kind == TransformKind::kMultiHot) return add_multi_hot(transform);
    if (!has_width()) {
      return refused(transform,
                     "the column is of lists: give it a transform \"pad\" before this one");
    }
    if (transform.kind == TransformKind::kTokenDropout) {
      put_in_.push_back({"token_dropout", "unknown", transform.unknown});
    }
    if (transform.kind == TransformKind::kOneHot) return add_one_hot(transform);
    if (!begun_ && is_affine(transform.kind)) return fold(transform, index);
    begin(takes_integers(transform));
    if (state_.integer && !takes_integers(transform)) end_integers();
    BALLAST_ASSIGN(Stage stage, make_stage(transform, index, use_.seed, state_));
    const bool left_out = is_random(transform.kind) && !use_.training;
    if (!left_out) value_.stages.push_back(std::move(stage));
    if (transform.kind != TransformKind::kTokenDropout) {
      as_stored_ = false;
      put_in_.clear();
    }
    return {};
  }

  // False: a list that no transform has given one.
  [[nodiscard]] bool has_width() const { return value_.width > 0; }

  // With floats at the end.
  ValuePlan finish() {
    if (state_.integer && begun_) end_integers();
    round();
    return std::move(value_);
  }

  // With a whole number at the end. kInvalidInput: there is none.
  Result<ValuePlan> finish_whole(const TransformConfig& cross) {
    if (!state_.integer || ended_ || state_.width != 1) {
      return refused(cross, fmt::format("whole numbers, one a row, expected of \"{}\"; bucketize "
                                        "or hash it before",
                                        state_.spec.name));
    }
    begin(true);
    round();
    return std::move(value_);
  }

  // Values the stored column must keep to: [0, classes); 0: any.
  [[nodiscard]] uint32_t stored_classes() const { return stored_classes_; }

  // The multi_hot that names a column to add up; null: there is none.
  [[nodiscard]] const TransformConfig* added() const { return added_; }

 private:
  // A leading scale or standardize: into the pass that reads the column.
  Status fold(const TransformConfig& transform, uint64_t index) {
    ChainState ignored = state_;
    BALLAST_RETURN_IF_ERROR(make_stage(transform, index, 0, ignored).status());
    value_.plain = false;
    state_.integer = false;
    if (transform.kind == TransformKind::kScale) apply_scale(transform, affine_);
    if (transform.kind == TransformKind::kStandardize) apply_standardize(transform, affine_);
    return {};
  }

  // Decides how the column is read: as whole numbers, or in the one pass that makes floats.
  void begin(bool takes_ints) {
    if (begun_) return;
    begun_ = true;
    value_.from_ints = state_.integer && takes_ints;
    state_.integer = value_.from_ints;
  }

  [[nodiscard]] bool is_list() const { return state_.spec.variable; }

  void set_width(uint32_t width) { state_.width = value_.value_width = value_.width = width; }

  Status add_pad(const TransformConfig& transform) {
    if (!is_list()) {
      return refused(transform,
                     fmt::format("a column of lists expected, {} found", state_.spec.to_string()));
    }
    if (has_width()) return refused(transform, "it must be the first transform of its column");
    const uint64_t width = state_.spec.width() * transform.items;
    if (width > kValuesMax) {
      return refused(transform, fmt::format("{} values a row are too many", width));
    }
    set_width(static_cast<uint32_t>(width));
    value_.fill = transform.fill;
    state_.integer = state_.integer && is_whole(transform.fill);
    if (state_.integer) {
      put_in_.push_back({"pad", "fill", static_cast<int64_t>(transform.fill)});
    }
    return {};
  }

  Status add_multi_hot(const TransformConfig& transform) {
    if (!is_integer(state_.spec.type) || state_.spec.width() != 1 || !is_list()) {
      return refused(transform, fmt::format("a column of lists of integers expected, {} found",
                                            state_.spec.to_string()));
    }
    if (has_width()) return refused(transform, "it must be the only transform of its column");
    set_width(transform.classes);
    value_.classes = stored_classes_ = transform.classes;
    added_ = transform.values.empty() ? nullptr : &transform;
    state_.integer = false;
    ended_ = true;
    return {};
  }

  void end_integers() {
    value_.stages.push_back(to_float_stage());
    state_.integer = state_.known = false;
  }

  Status add_one_hot(const TransformConfig& transform) {
    const bool stored = is_integer(state_.spec.type);
    if (!state_.integer || state_.width != 1) {
      return refused(transform, fmt::format("an integer column with one value a row expected, {} "
                                            "found",
                                            stored && state_.integer ? state_.spec.to_string()
                                            : stored                 ? "floats"
                                                                     : state_.spec.to_string()));
    }
    if (transform.classes == 0) return refused(transform, "classes >= 1 expected, 0 found");
    const bool fits = state_.least >= 0 && state_.most < int64_t{transform.classes};
    if (state_.known && !fits) {
      return refused(transform,
                     fmt::format("values from {} to {} come in, and classes = {}; "
                                 "classes >= {} expected",
                                 state_.least, state_.most, transform.classes, state_.most + 1));
    }
    for (const PutIn& put : put_in_) {
      if (put.value >= 0 && put.value < int64_t{transform.classes}) continue;
      return refused(transform, fmt::format("{} puts {} in, and classes = {}; {} from 0 to {} "
                                            "expected",
                                            put.kind, put.value, transform.classes, put.key,
                                            transform.classes - 1));
    }
    if (!state_.known && as_stored_) stored_classes_ = transform.classes;
    if (is_list()) begin(true);
    if (begun_) {
      value_.stages.push_back(one_hot_stage(transform.classes));
      state_.integer = false;
    } else {
      value_.classes = transform.classes;
    }
    value_.width = transform.classes;
    ended_ = true;
    return {};
  }

  void round() {
    value_.center.assign(affine_.center.begin(), affine_.center.end());
    value_.factor.assign(affine_.factor.begin(), affine_.factor.end());
    value_.shift.assign(affine_.shift.begin(), affine_.shift.end());
  }

  const RowUse& use_;
  ChainState state_;
  ValuePlan value_;
  Affine affine_;
  bool begun_ = false;     // how the column is read is decided
  bool ended_ = false;     // one_hot, multi_hot
  bool as_stored_ = true;  // whole numbers are still those of the column, or `put_in_`
  uint32_t stored_classes_ = 0;
  const TransformConfig* added_ = nullptr;
  // What transforms put beside the values of the column.
  struct PutIn {
    std::string_view kind, key;
    int64_t value = 0;
  };
  std::vector<PutIn> put_in_;
};

class Planner {
 public:
  Planner(const Dataset& dataset, const DataConfig& config, const RowUse& use)
      : dataset_(dataset), config_(config), use_(use) {}

  Result<RowPlan> plan() {
    if (config_.features.empty()) {
      return Status(Code::kInvalidInput, "data.features: at least one column expected");
    }
    BALLAST_RETURN_IF_ERROR(check_transforms_used());
    uint64_t width = 0;
    for (const std::string& name : config_.features) {
      BALLAST_ASSIGN(ValuePlan value, value_of(name, config_.transforms.size(), nullptr));
      width += value.width;
      plan_.features.push_back(std::move(value));
    }
    if (width > kValuesMax) {
      return Status(Code::kInvalidInput,
                    fmt::format("data.features: {} values a row are too many", width));
    }
    plan_.width = static_cast<uint32_t>(width);
    if (!config_.label.empty()) {
      BALLAST_ASSIGN(plan_.label, value_of(config_.label, config_.transforms.size(), nullptr));
    }
    BALLAST_RETURN_IF_ERROR(add_weights());
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool used(const std::string& name) const {
    const auto is = [&](const std::string& other) { return other == name; };
    if (name == config_.label || std::ranges::any_of(config_.features, is)) return true;
    return std::ranges::any_of(config_.transforms, [&](const TransformConfig& transform) {
      return transform.kind == TransformKind::kCross && std::ranges::any_of(transform.columns, is);
    });
  }

  Status check_transforms_used() const {
    for (const TransformConfig& transform : config_.transforms) {
      if (transform.kind == TransformKind::kFilter || used(transform.column)) continue;
      if (transform.kind != TransformKind::kCross) {
        BALLAST_ASSIGN([[maybe_unused]] const size_t column,
                       dataset_.find_column(transform.column));
      }
      return refused(transform, "the column is neither in data.features nor data.label");
    }
    return {};
  }

  // The place of a column among those that are read.
  Result<size_t> read(const std::string& name) {
    BALLAST_ASSIGN(const size_t column, dataset_.find_column(name));
    for (size_t i = 0; i < plan_.columns.size(); ++i) {
      if (plan_.columns[i].column == column) return i;
    }
    const ColumnSpec& spec = dataset_.columns()[column];
    if (spec.width() > kValuesMax) {
      return Status(Code::kInvalidInput, fmt::format("data set {}: column {} is too wide",
                                                     dataset_.folder(), spec.to_string()));
    }
    plan_.columns.push_back({.column = column, .spec = spec});
    return plan_.columns.size() - 1;
  }

  // A column with one value a row.
  Result<size_t> read_single(const std::string& name, const std::string& what) {
    BALLAST_ASSIGN(const size_t input, read(name));
    const ColumnSpec& spec = plan_.columns[input].spec;
    if (spec.width() == 1 && !spec.variable) return input;
    return Status(Code::kInvalidInput, fmt::format("{}: a column with one value a row expected, {} "
                                                   "found",
                                                   what, spec.to_string()));
  }

  // The lists that a multi_hot adds up, beside the lists of `ids`.
  Result<size_t> read_added(const TransformConfig& transform, size_t ids) {
    BALLAST_ASSIGN(const size_t input, read(transform.values));
    const ColumnSpec& spec = plan_.columns[input].spec;
    if (!spec.variable || spec.width() != 1) {
      return refused(transform, fmt::format("values = \"{}\": a column of lists of numbers "
                                            "expected, {} found",
                                            transform.values, spec.to_string()));
    }
    plan_.pairs.push_back({ids, input});
    return input;
  }

  // What the transforms before data.transform[end] make of a column. `cross`: for this one, which
  // wants a whole number; else null.
  Result<ValuePlan> value_of(const std::string& name, size_t end, const TransformConfig* cross) {
    size_t first = 0;
    size_t input = 0;
    std::vector<ValuePlan> parts;
    const auto made = std::ranges::find_if(config_.transforms, [&](const auto& transform) {
      return transform.kind == TransformKind::kCross && transform.column == name;
    });
    if (made != config_.transforms.end()) {
      first = static_cast<size_t>(made - config_.transforms.begin()) + 1;
      if (first > end) return refused(*cross, fmt::format("\"{}\" is made further down", name));
      BALLAST_ASSIGN(parts, parts_of(*made, first - 1));
    } else {
      BALLAST_ASSIGN(input, read(name));
    }
    Chain chain = made != config_.transforms.end() ? Chain(*made, std::move(parts), use_)
                                                   : Chain(plan_.columns[input].spec, use_);
    for (size_t i = first; i < end; ++i) {
      const TransformConfig& transform = config_.transforms[i];
      if (transform.column != name || transform.kind == TransformKind::kFilter) continue;
      if (transform.kind == TransformKind::kCross) return refused(transform, "made twice");
      BALLAST_RETURN_IF_ERROR(chain.add(transform, i));
    }
    if (!chain.has_width()) {
      return Status(Code::kInvalidInput,
                    fmt::format("data set {}: column {}: a model takes as many values of every "
                                "row: give it a data.transform \"pad\" or \"multi_hot\"",
                                dataset_.folder(), plan_.columns[input].spec.to_string()));
    }
    if (chain.stored_classes() > 0) plan_.columns[input].classes = chain.stored_classes();
    if (cross == nullptr) {
      ValuePlan value = chain.finish();
      value.input = input;
      if (chain.added() != nullptr) {
        BALLAST_ASSIGN(value.added, read_added(*chain.added(), input));
      }
      return value;
    }
    BALLAST_ASSIGN(ValuePlan value, chain.finish_whole(*cross));
    value.input = input;
    return value;
  }

  Result<std::vector<ValuePlan>> parts_of(const TransformConfig& cross, size_t index) {
    for (const ColumnSpec& spec : dataset_.columns()) {
      if (spec.name != cross.column) continue;
      return refused(cross, "the data set has a column of this name; expected a new one");
    }
    if (cross.columns.size() < 2 || cross.buckets == 0) {
      return refused(cross, fmt::format("two columns or more and buckets >= 1 expected, {} and {} "
                                        "found",
                                        cross.columns.size(), cross.buckets));
    }
    std::vector<ValuePlan> parts;
    for (const std::string& name : cross.columns) {
      if (name == cross.column) return refused(cross, "it cannot be made of itself");
      BALLAST_ASSIGN(ValuePlan part, value_of(name, index, &cross));
      parts.push_back(std::move(part));
    }
    return parts;
  }

  Status add_weights() {
    if (!config_.weight.empty()) {
      BALLAST_ASSIGN(const size_t input,
                     read_single(config_.weight, "data.weight = \"" + config_.weight + "\""));
      plan_.columns[input].is_weight = true;
      plan_.weight = {input};
    }
    for (const TransformConfig& transform : config_.transforms) {
      if (transform.kind != TransformKind::kFilter) continue;
      BALLAST_ASSIGN(
          const size_t input,
          read_single(transform.column, "data.transform filter of \"" + transform.column + "\""));
      plan_.filters.push_back({input, transform.relation, transform.value});
    }
    plan_.class_weights = use_.class_weights;
    plan_.training = use_.training;
    return {};
  }

  const Dataset& dataset_;
  const DataConfig& config_;
  const RowUse& use_;
  RowPlan plan_;
};

}  // namespace

Result<RowPlan> plan_rows(const Dataset& dataset, const DataConfig& config, const RowUse& use) {
  return Planner(dataset, config, use).plan();
}

}  // namespace ballast
