// StoredFeatures: features of a batch that stay as a data set stores them until a device makes
// floats of them: a quarter of the bytes to gather, to send and to copy (u8), or half of them
// (f16). The floats have the same bits wherever they are made. Pure values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ballast {

enum class StoredType : uint8_t { kU8, kF16 };

[[nodiscard]] constexpr size_t bytes_of(StoredType type) {
  return type == StoredType::kU8 ? 1 : 2;
}
[[nodiscard]] constexpr std::string_view name_of(StoredType type) {
  return type == StoredType::kU8 ? "u8" : "f16";
}

// (float(value) - center) * factor + shift, each step rounded to float: one value for all features
// or one for each, and none for values as they are.
struct StoredFeatures {
  StoredType type = StoredType::kU8;
  std::vector<float> center, factor, shift;
};

}  // namespace ballast
