// The name that somebody who mistyped probably meant. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ballast {

// The fewest insertions, deletions and replacements of characters; the first of equals; empty when
// `names` is.
[[nodiscard]] std::string nearest_name(std::string_view wanted, std::span<const std::string> names);

}  // namespace ballast
