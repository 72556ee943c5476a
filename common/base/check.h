// BALLAST_CHECK states what our own code guarantees. It is on in every build; bytes, peers and
// users are never checked with it, they get a Status.
#pragma once

#include <string_view>

namespace ballast::internal {

// Prints "file:line: check failed: expression (detail)" to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression,
                               std::string_view detail);

}  // namespace ballast::internal

#define BALLAST_CHECK(expression) BALLAST_CHECK_MSG(expression, "")

#define BALLAST_CHECK_MSG(expression, detail)                                     \
  do {                                                                            \
    if (!(expression)) [[unlikely]]                                               \
      ::ballast::internal::check_failed(__FILE__, __LINE__, #expression, detail); \
  } while (false)
