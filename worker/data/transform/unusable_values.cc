// find_unusable(): the first stored value that training cannot use.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "worker/data/column_values.h"
#include "worker/data/transform.h"

namespace ballast {
namespace {

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

uint64_t find_nonfinite(const ColumnPlan& plan, std::span<const std::byte> raw) {
  if (plan.spec.type == ColumnType::kF32) return find_nonfinite<uint32_t>(raw, 0x7f800000u);
  if (plan.spec.type == ColumnType::kF16) return find_nonfinite<uint16_t>(raw, 0x7c00u);
  return raw.size() / element_bytes(plan.spec.type);
}

// The first value for which bad(value) holds.
template <typename Bad>
uint64_t find_value(const ColumnPlan& plan, std::span<const std::byte> raw, Bad bad) {
  return with_type(plan.spec.type, [&](auto kind) {
    using Value = decltype(kind);
    const uint64_t count = raw.size() / element_bytes(plan.spec.type);
    for (uint64_t i = 0; i < count; ++i) {
      if (bad(load_value<Value>(raw.data(), i))) return i;
    }
    return count;
  });
}

}  // namespace

uint64_t find_unusable(const ColumnPlan& plan, std::span<const std::byte> raw) {
  const uint64_t count = raw.size() / element_bytes(plan.spec.type);
  const uint64_t found = find_nonfinite(plan, raw);
  if (found < count) return found;
  if (!plan.is_weight && plan.classes == 0) return count;
  const double end =  // one column may be both, a weight and a class
      plan.classes > 0 ? static_cast<double>(plan.classes)
                       : std::numeric_limits<double>::infinity();
  return find_value(plan, raw,
                    [end](auto value) { return as_double(value) < 0 || as_double(value) >= end; });
}

}  // namespace ballast
