#include "common/placement/units.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/random.h"

namespace ballast {
namespace {

TEST(Units, CoverEveryElementOnceAtRowBoundaries) {
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<ParameterSpec> parameters(static_cast<size_t>(random.between(1, 4)));
    for (ParameterSpec& parameter : parameters) {
      parameter.shape = {static_cast<uint64_t>(random.between(1, 300))};
      if (random.chance(0.5))
        parameter.shape.push_back(static_cast<uint64_t>(random.between(1, 90)));
    }
    const uint64_t unit_bytes = static_cast<uint64_t>(random.between(4, 4096));

    const auto units = cut_units(parameters, unit_bytes);

    std::vector<uint64_t> next(parameters.size(), 0);
    for (const UnitSpec& unit : units) {
      const ParameterSpec& parameter = parameters[unit.parameter];
      EXPECT_EQ(unit.first_element, next[unit.parameter]);
      EXPECT_EQ(unit.element_count % parameter.row_elements(), 0u);
      EXPECT_TRUE(unit.bytes() <= unit_bytes || unit.element_count == parameter.row_elements());
      next[unit.parameter] += unit.element_count;
    }
    for (size_t i = 0; i < parameters.size(); ++i)
      EXPECT_EQ(next[i], parameters[i].element_count());
  }
}

TEST(Placement, BalancesBytes) {
  const auto units =
      cut_units({{.name = "w", .shape = {784, 512}}, {.name = "b", .shape = {512}}}, 1 << 18);

  const auto placement = propose_placement(units, 3);

  std::vector<uint64_t> load(3, 0);
  uint64_t largest = 0;
  for (const UnitSpec& unit : units) {
    load[placement[unit.id.value()].value()] += unit.bytes();
    largest = std::max(largest, unit.bytes());
  }
  const auto [least, most] = std::minmax_element(load.begin(), load.end());
  EXPECT_LE(*most - *least, largest);
}

}  // namespace
}  // namespace ballast
