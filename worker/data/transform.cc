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

std::string_view kind_name(TransformKind kind) {
  constexpr std::string_view kNames[] = {"scale", "standardize", "one_hot", "multi_hot", "pad"};
  return kNames[static_cast<size_t>(kind)];
}

Status refused(const TransformConfig& transform, const std::string& what) {
  return Status(Code::kInvalidInput,
                fmt::format("data.transform {} of column \"{}\": {}", kind_name(transform.kind),
                            transform.column, what));
}

// The composition so far, in double: (x - center) * factor + shift, a value for each feature.
struct Affine {
  std::vector<double> center, factor, shift;
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

Status apply_standardize(const TransformConfig& transform, uint64_t width, Affine& affine) {
  for (const auto* values : {&transform.mean, &transform.std}) {
    if (values->size() == 1 || values->size() == width) continue;
    return refused(transform,
                   fmt::format("1 or {} values of {} expected, {} found", width,
                               values == &transform.mean ? "mean" : "std", values->size()));
  }
  widen(affine, std::max(transform.mean.size(), transform.std.size()));
  for (size_t i = 0; i < affine.factor.size(); ++i) {
    const double mean = transform.mean[transform.mean.size() == 1 ? 0 : i];
    const double std = transform.std[transform.std.size() == 1 ? 0 : i];
    if (!(std > 0)) {
      return refused(transform, fmt::format("std[{}] > 0 expected, {} found; use 1 for a feature "
                                            "that never changes",
                                            i, std));
    }
    if (affine.factor[i] != 0) {
      affine.center[i] += (mean - affine.shift[i]) / affine.factor[i];
      affine.shift[i] = 0;
    } else {
      affine.shift[i] = (affine.shift[i] - mean) / std;
    }
    affine.factor[i] /= std;
  }
  return {};
}

Status apply_one_hot(const TransformConfig& transform, ColumnPlan& plan) {
  if (!is_integer(plan.spec.type) || plan.spec.width() != 1 || plan.spec.variable) {
    return refused(transform, fmt::format("an integer column with one value a row expected, {} "
                                          "found",
                                          plan.spec.to_string()));
  }
  if (!plan.plain || plan.classes > 0) {
    return refused(transform, "it must be the only transform of its column");
  }
  if (transform.classes == 0) return refused(transform, "classes >= 1 expected, 0 found");
  plan.classes = transform.classes;
  plan.width = transform.classes;
  return {};
}

Status apply_multi_hot(const TransformConfig& transform, ColumnPlan& plan) {
  if (!is_integer(plan.spec.type) || plan.spec.width() != 1 || !plan.spec.variable) {
    return refused(transform, fmt::format("a column of lists of integers expected, {} found",
                                          plan.spec.to_string()));
  }
  if (plan.width > 0) return refused(transform, "it must be the only transform of its column");
  plan.classes = transform.classes;
  plan.width = transform.classes;
  return {};
}

Status apply_pad(const TransformConfig& transform, ColumnPlan& plan) {
  if (!plan.spec.variable) {
    return refused(transform,
                   fmt::format("a column of lists expected, {} found", plan.spec.to_string()));
  }
  if (plan.width > 0) return refused(transform, "it must be the first transform of its column");
  const uint64_t width = plan.spec.width() * transform.items;
  if (width > std::numeric_limits<uint32_t>::max() / sizeof(float)) {
    return refused(transform, fmt::format("{} values a row are too many", width));
  }
  plan.width = static_cast<uint32_t>(width);
  plan.fill = static_cast<float>(transform.fill);
  return {};
}

// A list has no width before one of these.
Status check_fixed(const TransformConfig& transform, const ColumnPlan& plan) {
  if (plan.width > 0) return {};
  return refused(transform, "the column is of lists: give it a transform \"pad\" before this one");
}

std::vector<float> rounded(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

Status apply_transforms(const DataConfig& config, ColumnPlan& plan) {
  Affine affine{{0}, {1}, {0}};
  for (const TransformConfig& transform : config.transforms) {
    if (transform.column != plan.spec.name) continue;
    if (transform.kind == TransformKind::kOneHot) {
      BALLAST_RETURN_IF_ERROR(apply_one_hot(transform, plan));
      continue;
    }
    if (transform.kind == TransformKind::kMultiHot) {
      BALLAST_RETURN_IF_ERROR(apply_multi_hot(transform, plan));
      continue;
    }
    if (transform.kind == TransformKind::kPad) {
      BALLAST_RETURN_IF_ERROR(apply_pad(transform, plan));
      continue;
    }
    BALLAST_RETURN_IF_ERROR(check_fixed(transform, plan));
    if (plan.classes > 0)
      return refused(transform, fmt::format("a {} column takes no other transform",
                                            plan.spec.variable ? "multi_hot" : "one_hot"));
    plan.plain = false;
    if (transform.kind == TransformKind::kScale) apply_scale(transform, affine);
    if (transform.kind == TransformKind::kStandardize) {
      BALLAST_RETURN_IF_ERROR(apply_standardize(transform, plan.width, affine));
    }
  }
  plan.center = rounded(affine.center);
  plan.factor = rounded(affine.factor);
  plan.shift = rounded(affine.shift);
  return {};
}

Result<ColumnPlan> plan_column(const Dataset& dataset, const std::string& name,
                               const DataConfig& config) {
  ColumnPlan plan;
  BALLAST_ASSIGN(plan.column, dataset.find_column(name));
  plan.spec = dataset.columns()[plan.column];
  if (plan.spec.width() > std::numeric_limits<uint32_t>::max() / sizeof(float)) {
    return Status(Code::kInvalidInput, fmt::format("data set {}: column {} is too wide",
                                                   dataset.folder(), plan.spec.to_string()));
  }
  if (!plan.spec.variable) plan.width = static_cast<uint32_t>(plan.spec.width());
  BALLAST_RETURN_IF_ERROR(apply_transforms(config, plan));
  if (plan.width == 0) {
    return Status(Code::kInvalidInput,
                  fmt::format("data set {}: column {}: a model takes as many values of every row: "
                              "give it a data.transform \"pad\" or \"multi_hot\"",
                              dataset.folder(), plan.spec.to_string()));
  }
  return plan;
}

Status check_transforms_used(const Dataset& dataset, const DataConfig& config) {
  for (const TransformConfig& transform : config.transforms) {
    const bool used = transform.column == config.label ||
                      std::find(config.features.begin(), config.features.end(), transform.column) !=
                          config.features.end();
    if (used) continue;
    BALLAST_ASSIGN([[maybe_unused]] const size_t column, dataset.find_column(transform.column));
    return refused(transform, "the column is neither in data.features nor data.label");
  }
  return {};
}

// Exponent all ones. Blocks without a branch inside, so that the scan is vectorised.
template <typename Bits>
uint64_t find_nonfinite(std::span<const std::byte> raw, Bits exponent) {
  constexpr uint64_t kBlock = 1024;
  const uint64_t count = raw.size() / sizeof(Bits);
  for (uint64_t first = 0; first < count; first += kBlock) {
    const uint64_t last = std::min(first + kBlock, count);
    Bits found = 0;  // as wide as the values, so that a register holds as many of both
    for (uint64_t i = first; i < last; ++i) {
      found |= (load_value<Bits>(raw.data(), i) & exponent) == exponent ? 1 : 0;
    }
    if (found == 0) continue;
    for (uint64_t i = first; i < last; ++i) {
      if ((load_value<Bits>(raw.data(), i) & exponent) == exponent) return i;
    }
  }
  return count;
}

template <typename Integer>
uint64_t find_outside(std::span<const std::byte> raw, uint32_t classes) {
  const uint64_t count = raw.size() / sizeof(Integer);
  for (uint64_t i = 0; i < count; ++i) {
    const auto value = static_cast<int64_t>(load_value<Integer>(raw.data(), i));
    if (value < 0 || value >= static_cast<int64_t>(classes)) return i;
  }
  return count;
}

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

// Calls convert(row, out) for every row, asking for the rows to come.
template <typename Value, typename Convert>
void for_rows(uint64_t row_bytes, std::span<const std::byte* const> rows, float* out,
              uint64_t stride, Convert convert) {
  constexpr size_t kAhead = 4;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + kAhead < rows.size()) prefetch_row(rows[i + kAhead], row_bytes);
    convert(reinterpret_cast<const Value*>(rows[i]), out + i * stride);
  }
}

template <typename Value>
void gather_scaled(const ColumnPlan& plan, std::span<const std::byte* const> rows, float* out,
                   uint64_t stride) {
  const uint64_t bytes = plan.spec.row_bytes();
  const uint64_t width = plan.width;
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
void gather_one_hot(const ColumnPlan& plan, std::span<const std::byte* const> rows, float* out,
                    uint64_t stride) {
  for (size_t i = 0; i < rows.size(); ++i) {
    float* row = out + i * stride;
    std::fill_n(row, plan.classes, 0.0f);
    row[static_cast<uint64_t>(load_value<Integer>(rows[i], 0))] = 1.0f;  // checked when read
  }
}

template <typename Integer>
void gather_multi_hot(const ColumnPlan& plan, std::span<const std::byte* const> rows, float* out,
                      uint64_t stride) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto list = load_value<ListRow>(rows[i], 0);
    float* row = out + i * stride;
    std::fill_n(row, plan.classes, 0.0f);
    for (uint64_t k = 0; k < list.count; ++k) {  // in [0, classes): checked when read
      row[static_cast<uint64_t>(load_value<Integer>(list.first, k))] += 1.0f;
    }
  }
}

template <typename Value>
void gather_padded(const ColumnPlan& plan, std::span<const std::byte* const> rows, float* out,
                   uint64_t stride) {
  const uint64_t item = plan.spec.width();
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto list = load_value<ListRow>(rows[i], 0);
    const uint64_t there = std::min<uint64_t>(list.count * item, plan.width);
    float* row = out + i * stride;
    for (uint64_t k = 0; k < there; ++k) row[k] = as_float(load_value<Value>(list.first, k));
    std::fill(row + there, row + plan.width, plan.fill);
    if (plan.plain) continue;
    const bool one = plan.factor.size() == 1;
    for (uint64_t k = 0; k < plan.width; ++k) {
      const uint64_t v = one ? 0 : k;
      row[k] = (row[k] - plan.center[v]) * plan.factor[v] + plan.shift[v];
    }
  }
}

}  // namespace

std::vector<const ColumnPlan*> plan_columns(const RowPlan& plan) {
  std::vector<const ColumnPlan*> columns;
  for (const ColumnPlan& column : plan.features) columns.push_back(&column);
  if (plan.has_label()) columns.push_back(&plan.label);
  return columns;
}

Result<RowPlan> plan_rows(const Dataset& dataset, const DataConfig& config) {
  if (config.features.empty()) {
    return Status(Code::kInvalidInput, "data.features: at least one column expected");
  }
  BALLAST_RETURN_IF_ERROR(check_transforms_used(dataset, config));
  RowPlan plan;
  uint64_t width = 0;
  for (const std::string& name : config.features) {
    BALLAST_ASSIGN(ColumnPlan column, plan_column(dataset, name, config));
    width += column.width;
    plan.features.push_back(std::move(column));
  }
  if (width > std::numeric_limits<uint32_t>::max() / sizeof(float)) {
    return Status(Code::kInvalidInput,
                  fmt::format("data.features: {} values a row are too many", width));
  }
  plan.width = static_cast<uint32_t>(width);
  if (!config.label.empty()) {
    BALLAST_ASSIGN(plan.label, plan_column(dataset, config.label, config));
  }
  return plan;
}

uint64_t find_unusable(const ColumnPlan& plan, std::span<const std::byte> raw) {
  if (plan.spec.type == ColumnType::kF32) return find_nonfinite<uint32_t>(raw, 0x7f800000u);
  if (plan.spec.type == ColumnType::kF16) return find_nonfinite<uint16_t>(raw, 0x7c00u);
  if (plan.classes == 0) return raw.size() / element_bytes(plan.spec.type);
  if (plan.spec.type == ColumnType::kU8) return find_outside<uint8_t>(raw, plan.classes);
  if (plan.spec.type == ColumnType::kI32) return find_outside<int32_t>(raw, plan.classes);
  return find_outside<int64_t>(raw, plan.classes);
}

void gather(const ColumnPlan& plan, std::span<const std::byte* const> rows, float* out,
            uint64_t stride) {
  with_type(plan.spec.type, [&](auto kind) {
    using Value = decltype(kind);
    if constexpr (std::is_integral_v<Value>) {
      if (plan.classes > 0 && plan.spec.variable) {
        return gather_multi_hot<Value>(plan, rows, out, stride);
      }
      if (plan.classes > 0) return gather_one_hot<Value>(plan, rows, out, stride);
    }
    if (plan.spec.variable) return gather_padded<Value>(plan, rows, out, stride);
    gather_scaled<Value>(plan, rows, out, stride);
  });
}

}  // namespace ballast
