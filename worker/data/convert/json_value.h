// JsonValue: a JSON text as a tree, for the small index files that other formats keep beside their
// data. Numbers stay text until somebody says what they are. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace ballast {

class JsonValue {
 public:
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

  // kInvalidInput: "byte 17: a value expected". Deeper than 64 levels is refused.
  static Result<JsonValue> parse(std::string_view text);

  Kind kind = Kind::kNull;
  std::string text;  // of a string, number or bool
  std::vector<JsonValue> items;
  std::vector<std::pair<std::string, JsonValue>> members;

  // Null: this is no object, or it has no such member.
  [[nodiscard]] const JsonValue* find(std::string_view name) const;
  [[nodiscard]] std::optional<uint64_t> whole_number() const;
  [[nodiscard]] bool is_string(std::string_view expected) const {
    return kind == Kind::kString && text == expected;
  }
};

}  // namespace ballast
