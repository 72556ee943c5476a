#include "worker/data/transform/chain.h"

#include <fmt/format.h>

#include <algorithm>

#include "worker/data/column_values.h"

namespace ballast {
namespace {

bool is_affine(TransformKind kind) {
  return kind == TransformKind::kScale || kind == TransformKind::kStandardize;
}

}  // namespace

Chain::Chain(const ColumnSpec& spec, const RowUse& use) : use_(use) {
  state_.spec = spec;
  state_.integer = is_integer(spec.type);
  set_width(spec.variable ? 0 : static_cast<uint32_t>(spec.width()));
}

Chain::Chain(const TransformConfig& cross, std::vector<ValuePlan> parts, const RowUse& use)
    : use_(use) {
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

Status Chain::add(const TransformConfig& transform, uint64_t index) {
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

ValuePlan Chain::finish() {
  if (state_.integer && begun_) end_integers();
  round();
  return std::move(value_);
}

Result<ValuePlan> Chain::finish_whole(const TransformConfig& cross) {
  if (!state_.integer || ended_ || state_.width != 1) {
    return refused(cross, fmt::format("whole numbers, one a row, expected of \"{}\"; bucketize "
                                      "or hash it before",
                                      state_.spec.name));
  }
  begin(true);
  round();
  return std::move(value_);
}

Status Chain::fold(const TransformConfig& transform, uint64_t index) {
  ChainState ignored = state_;
  BALLAST_RETURN_IF_ERROR(make_stage(transform, index, 0, ignored).status());
  value_.plain = false;
  state_.integer = false;
  if (transform.kind == TransformKind::kScale) apply_scale(transform, affine_);
  if (transform.kind == TransformKind::kStandardize) apply_standardize(transform, affine_);
  return {};
}

void Chain::begin(bool takes_ints) {
  if (begun_) return;
  begun_ = true;
  value_.from_ints = state_.integer && takes_ints;
  state_.integer = value_.from_ints;
}

Status Chain::add_pad(const TransformConfig& transform) {
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

Status Chain::add_multi_hot(const TransformConfig& transform) {
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

void Chain::end_integers() {
  value_.stages.push_back(to_float_stage());
  state_.integer = state_.known = false;
}

Status Chain::add_one_hot(const TransformConfig& transform) {
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

void Chain::round() {
  value_.center.assign(affine_.center.begin(), affine_.center.end());
  value_.factor.assign(affine_.factor.begin(), affine_.factor.end());
  value_.shift.assign(affine_.shift.begin(), affine_.shift.end());
}

void Chain::widen(Affine& affine, size_t width) {
  for (auto* values : {&affine.center, &affine.factor, &affine.shift}) {
    if (values->size() < width) values->resize(width, values->front());
  }
}

void Chain::apply_scale(const TransformConfig& transform, Affine& affine) {
  for (size_t i = 0; i < affine.factor.size(); ++i) {
    affine.factor[i] *= transform.factor;
    affine.shift[i] = affine.shift[i] * transform.factor + transform.shift;
  }
}

// Its values were checked by make_stage().
void Chain::apply_standardize(const TransformConfig& transform, Affine& affine) {
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

}  // namespace ballast
