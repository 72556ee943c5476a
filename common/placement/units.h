// Units: what is placed, versioned, committed and moved as one. A unit is a run of whole rows of
// one dense tensor, about `unit_bytes` large; units never depend on how many servers there are. A
// proposal says which shard gets which unit. Pure; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/ids.h"
#include "common/placement/parameters.h"

namespace ballast {

struct UnitSpec {
  UnitId id;
  uint32_t parameter = 0;      // index into the parameter list
  uint64_t first_element = 0;  // within the tensor, row-major
  uint64_t element_count = 0;

  [[nodiscard]] uint64_t bytes() const { return element_count * sizeof(float); }
};

// Cuts every parameter at row boundaries into the fewest parts that are not larger than unit_bytes
// (one row may be larger), equal to within one row. A parameter of one dimension has rows of one
// element. In parameter order.
[[nodiscard]] std::vector<UnitSpec> cut_units(const std::vector<ParameterSpec>& parameters,
                                              uint64_t unit_bytes);

// One shard per unit, index = unit id: largest unit first to the shard with the fewest bytes, ties
// to the lower number (Graham's LPT, 1969: at most 4/3 of the best balance).
[[nodiscard]] std::vector<ShardId> propose_placement(const std::vector<UnitSpec>& units,
                                                     uint32_t shard_count);

}  // namespace ballast
