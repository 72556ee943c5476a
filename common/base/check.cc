#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ballast::internal {

void check_failed(const char* file, int line, const char* expression, std::string_view detail) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s%.*s%s\n", file, line, expression,
               detail.empty() ? "" : " (", static_cast<int>(detail.size()), detail.data(),
               detail.empty() ? "" : ")");
  std::fflush(stderr);
  std::abort();
}

}  // namespace ballast::internal
