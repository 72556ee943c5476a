// Chain: makes the plan of one value of a row by taking its transforms one after another. Pure; one
// thread.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/transform.h"
#include "worker/data/transform/stage.h"

namespace ballast {

// Values a row.
inline constexpr uint32_t kValuesMax = std::numeric_limits<uint32_t>::max() / sizeof(float);

class Chain {
 public:
  // Of a stored column. `use` outlives.
  Chain(const ColumnSpec& spec, const RowUse& use);
  // Of crossed values, each a whole number.
  Chain(const TransformConfig& cross, std::vector<ValuePlan> parts, const RowUse& use);

  // The next transform of the value, data.transform[index]. kInvalidInput: it does not fit.
  Status add(const TransformConfig& transform, uint64_t index);

  // False: a list that no transform has given one.
  [[nodiscard]] bool has_width() const { return value_.width > 0; }

  // With floats at the end.
  ValuePlan finish();
  // With a whole number at the end. kInvalidInput: there is none.
  Result<ValuePlan> finish_whole(const TransformConfig& cross);

  // Values the stored column must keep to: [0, classes); 0: any.
  [[nodiscard]] uint32_t stored_classes() const { return stored_classes_; }
  // The multi_hot that names a column to add up; null: there is none.
  [[nodiscard]] const TransformConfig* added() const { return added_; }

 private:
  // The composition so far, in double: (x - center) * factor + shift, a value for each feature.
  struct Affine {
    std::vector<double> center{0}, factor{1}, shift{0};
  };
  // What transforms put beside the values of the column.
  struct PutIn {
    std::string_view kind, key;
    int64_t value = 0;
  };

  static void widen(Affine& affine, size_t width);
  static void apply_scale(const TransformConfig& transform, Affine& affine);
  static void apply_standardize(const TransformConfig& transform, Affine& affine);

  // A leading scale or standardize: into the pass that reads the column.
  Status fold(const TransformConfig& transform, uint64_t index);
  // Decides how the column is read: as whole numbers, or in the one pass that makes floats.
  void begin(bool takes_ints);
  [[nodiscard]] bool is_list() const { return state_.spec.variable; }
  void set_width(uint32_t width) { state_.width = value_.value_width = value_.width = width; }
  Status add_pad(const TransformConfig& transform);
  Status add_multi_hot(const TransformConfig& transform);
  void end_integers();
  Status add_one_hot(const TransformConfig& transform);
  void round();

  const RowUse& use_;
  ChainState state_;
  ValuePlan value_;
  Affine affine_;
  bool begun_ = false;     // how the column is read is decided
  bool ended_ = false;     // one_hot, multi_hot
  bool as_stored_ = true;  // whole numbers are still those of the column, or `put_in_`
  uint32_t stored_classes_ = 0;
  const TransformConfig* added_ = nullptr;
  std::vector<PutIn> put_in_;
};

}  // namespace ballast
