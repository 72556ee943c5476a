#include "worker/data/check_values.h"

#include <fmt/format.h>

#include <algorithm>

#include "worker/data/column_values.h"
#include "worker/data/list_rows.h"

namespace ballast {
namespace {

struct ValuePlace {
  uint64_t row = 0;  // in the block
  uint64_t value = 0;
};

// Of value `index` among all values of the block.
ValuePlace place_of(const ColumnPlan& plan, const HeldColumn& held, uint64_t rows, uint64_t index) {
  if (!plan.spec.variable) return {index / plan.spec.width(), index % plan.spec.width()};
  const std::span lists(reinterpret_cast<const ListRow*>(held.rows), rows);
  const std::byte* at = held.values.data() + index * element_bytes(plan.spec.type);
  // The last list that begins there or before, but the empty ones among those.
  auto list = std::upper_bound(
                  lists.begin(), lists.end(), at,
                  [](const std::byte* wanted, const ListRow& row) { return wanted < row.first; }) -
              1;
  while (list->count == 0) --list;
  return {static_cast<uint64_t>(list - lists.begin()),
          static_cast<uint64_t>(at - list->first) / element_bytes(plan.spec.type)};
}

}  // namespace

Status check_values(const Dataset& dataset, const ColumnPlan& plan, const BlockPlace& block,
                    const HeldColumn& held) {
  const uint64_t index = find_unusable(plan, held.values);
  if (index == held.values.size() / element_bytes(plan.spec.type)) return {};
  const ValuePlace place = place_of(plan, held, block.stored.rows, index);
  const std::string expected = plan.classes > 0
                                   ? fmt::format("0 to {} for {}", plan.classes - 1,
                                                 plan.spec.variable ? "multi_hot" : "one_hot")
                               : plan.is_weight ? std::string("a weight of 0 or more")
                                                : std::string("a finite number");
  return Status(Code::kInvalidInput,
                fmt::format("{}, column \"{}\", value {}: {} expected, {} found",
                            dataset.row_name(block.first_row + place.row), plan.spec.name,
                            place.value, expected, value_text(plan.spec.type, held.values, index)));
}

Status check_block(const Dataset& dataset, const RowPlan& plan, const BlockPlace& block,
                   std::span<const HeldColumn> held) {
  for (size_t i = 0; i < held.size(); ++i) {
    BALLAST_RETURN_IF_ERROR(check_values(dataset, plan.columns[i], block, held[i]));
  }
  return check_pairs(dataset, plan, block, held);
}

Status check_pairs(const Dataset& dataset, const RowPlan& plan, const BlockPlace& block,
                   std::span<const HeldColumn> held) {
  for (const ListPair& pair : plan.pairs) {
    const auto lists = [&](size_t column) {
      return std::span(reinterpret_cast<const ListRow*>(held[column].rows), block.stored.rows);
    };
    const auto ids = lists(pair.ids), values = lists(pair.values);
    for (uint64_t row = 0; row < block.stored.rows; ++row) {
      if (ids[row].count == values[row].count) continue;
      return Status(
          Code::kInvalidInput,
          fmt::format("{}: multi_hot of \"{}\" takes as many values of \"{}\": {} "
                      "expected, {} found",
                      dataset.row_name(block.first_row + row), plan.columns[pair.ids].spec.name,
                      plan.columns[pair.values].spec.name, ids[row].count, values[row].count));
    }
  }
  return {};
}

}  // namespace ballast
