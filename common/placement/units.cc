#include "common/placement/units.h"

#include <algorithm>
#include <numeric>

#include "common/base/check.h"

namespace ballast {

std::vector<UnitSpec> cut_units(const std::vector<ParameterSpec>& parameters, uint64_t unit_bytes) {
  std::vector<UnitSpec> units;
  for (uint32_t index = 0; index < parameters.size(); ++index) {
    const ParameterSpec& parameter = parameters[index];
    const uint64_t row_count = parameter.shape[0];
    const uint64_t row_elements = parameter.row_elements();
    const uint64_t rows_max = std::max<uint64_t>(1, unit_bytes / (row_elements * sizeof(float)));
    const uint64_t parts = (row_count + rows_max - 1) / rows_max;
    uint64_t row = 0;
    for (uint64_t part = 0; part < parts; ++part) {
      const uint64_t rows = row_count / parts + (part < row_count % parts ? 1 : 0);
      units.push_back({UnitId(static_cast<uint32_t>(units.size())), index, row * row_elements,
                       rows * row_elements});
      row += rows;
    }
  }
  return units;
}

std::vector<ShardId> propose_placement(const std::vector<UnitSpec>& units, uint32_t shard_count) {
  BALLAST_CHECK(shard_count > 0);
  std::vector<size_t> largest_first(units.size());
  std::iota(largest_first.begin(), largest_first.end(), size_t{0});
  std::stable_sort(largest_first.begin(), largest_first.end(), [&](size_t a, size_t b) {
    return units[a].element_count > units[b].element_count;
  });
  std::vector<uint64_t> load(shard_count, 0);
  std::vector<ShardId> placement(units.size());
  for (size_t unit : largest_first) {
    const auto lightest = std::min_element(load.begin(), load.end());
    *lightest += units[unit].bytes();
    placement[unit] = ShardId(static_cast<uint32_t>(lightest - load.begin()));
  }
  return placement;
}

}  // namespace ballast
