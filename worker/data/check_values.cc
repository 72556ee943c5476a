#include "worker/data/check_values.h"

#include <fmt/format.h>

#include "worker/data/column_values.h"

namespace ballast {

Status check_values(const Dataset& dataset, const ColumnPlan& plan, const BlockPlace& block,
                    std::span<const std::byte> raw) {
  const uint64_t index = find_unusable(plan, raw);
  if (index == raw.size() / element_bytes(plan.spec.type)) return {};
  const uint64_t row = block.first_row + index / plan.spec.width();
  const std::string expected = plan.classes > 0
                                   ? fmt::format("0 to {} for one_hot", plan.classes - 1)
                                   : std::string("a finite number");
  return Status(Code::kInvalidInput,
                fmt::format("{}, column \"{}\", value {}: {} expected, {} found",
                            dataset.row_name(row), plan.spec.name, index % plan.spec.width(),
                            expected, value_text(plan.spec.type, raw, index)));
}

}  // namespace ballast
