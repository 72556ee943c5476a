// Whether text from outside is UTF-8 (RFC 3629). Pure.
#pragma once

#include <string>
#include <string_view>

namespace ballast {

[[nodiscard]] bool is_utf8(std::string_view text);
// For messages: bytes beyond ASCII and control characters as "\xff".
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace ballast
