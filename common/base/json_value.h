// JsonValue: a JSON text (RFC 8259) as a tree, for the small texts that other formats keep beside
// their data. Strict, because they come from outside: a key twice in an object, a number JSON does
// not know and half a surrogate pair are refused. Numbers stay text until somebody says what they
// are. Pure; any thread.
#pragma once

#include <cstddef>
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

  // kInvalidInput: unexpected_json() at the first character that does not fit. Deeper than 64
  // levels is refused.
  static Result<JsonValue> parse(std::string_view text);

  Kind kind = Kind::kNull;
  size_t at = 0;     // where in the text it begins
  std::string text;  // of a string (UTF-8, escapes resolved), number or bool
  std::vector<JsonValue> items;
  std::vector<std::pair<std::string, JsonValue>> members;

  // Null: this is no object, or it has no such member.
  [[nodiscard]] const JsonValue* find(std::string_view name) const;
  // Nothing: no number, a fraction, below 0 or not below 2^64.
  [[nodiscard]] std::optional<uint64_t> whole_number() const;
  [[nodiscard]] bool is_string(std::string_view expected) const {
    return kind == Kind::kString && text == expected;
  }
};

// "at character 17: expected ':', found "x}"", for a value that is JSON and yet not what belongs
// there.
[[nodiscard]] std::string unexpected_json(std::string_view text, size_t at,
                                          std::string_view expected);

}  // namespace ballast
