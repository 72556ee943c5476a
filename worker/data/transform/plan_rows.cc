// plan_rows(): columns, their chains and weights from the job and the manifest.
#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"
#include "worker/data/column_values.h"
#include "worker/data/transform.h"
#include "worker/data/transform/chain.h"

namespace ballast {
namespace {

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
    if (use_.stored) plan_.stored = stored_features();
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

  [[nodiscard]] static std::optional<StoredType> stored_type(ColumnType type) {
    if (type == ColumnType::kU8) return StoredType::kU8;
    if (type == ColumnType::kF16) return StoredType::kF16;
    return std::nullopt;  // others are no smaller than floats
  }

  // Null: some features are made in another way than by scaling, or of another type, or rows may
  // weigh 0, whose features are 0 as floats.
  [[nodiscard]] std::shared_ptr<const StoredFeatures> stored_features() const {
    const std::optional<StoredType> type = stored_type(spec_of(plan_.features.front()).type);
    if (!type || !plan_.weight.empty() || !plan_.filters.empty()) return nullptr;
    const bool fits = std::ranges::all_of(plan_.features, [&](const ValuePlan& value) {
      return !value.staged() && value.classes == 0 && !spec_of(value).variable &&
             stored_type(spec_of(value).type) == type;
    });
    if (!fits) return nullptr;
    auto stored = std::make_shared<StoredFeatures>();
    stored->type = *type;
    if (std::ranges::all_of(plan_.features, &ValuePlan::plain)) return stored;
    if (plan_.features.size() == 1) {
      const ValuePlan& value = plan_.features.front();
      stored->center = value.center;
      stored->factor = value.factor;
      stored->shift = value.shift;
      return stored;
    }
    // Adding -0 changes nothing, adding 0 would change -0.
    constexpr float kNothing = -0.0f;
    for (const ValuePlan& value : plan_.features) {
      append(stored->center, value.center, value.width);
      append(stored->factor, value.factor, value.width);
      append(stored->shift, value.plain ? std::vector{kNothing} : value.shift, value.width);
    }
    return stored;
  }

  // One value for all, or one for each, as one for each.
  static void append(std::vector<float>& to, const std::vector<float>& values, uint32_t width) {
    if (values.size() == 1) return to.resize(to.size() + width, values.front());
    to.insert(to.end(), values.begin(), values.end());
  }

  [[nodiscard]] const ColumnSpec& spec_of(const ValuePlan& value) const {
    return plan_.columns[value.input].spec;
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
