#include "worker/data/column_values.h"

#include <fmt/format.h>

#include <type_traits>

namespace ballast {

std::string value_text(ColumnType type, std::span<const std::byte> values, uint64_t index) {
  return with_type(type, [&](auto kind) -> std::string {
    using Value = decltype(kind);
    const Value value = load_value<Value>(values.data(), index);
    if constexpr (std::is_integral_v<Value>) {
      return std::to_string(value);
    } else {
      return fmt::format("{}", as_float(value));
    }
  });
}

}  // namespace ballast
