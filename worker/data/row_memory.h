// Memory for rows and blocks of a data set. Pure.
#pragma once

#include <cstdint>

#include "common/base/buffer.h"
#include "common/base/status.h"

namespace ballast {

// Fresh pages: not touched before they are filled, huge where it may be, and therefore from a
// multiple of 2 MiB on: fewer address look-ups among scattered rows, and a direct read of 2 MiB
// goes to one piece of memory instead of 512. kExhausted: the system has no more.
[[nodiscard]] Result<Buffer> map_rows(uint64_t bytes);
// For what is kept shortly: a sum that came from a file. None for 0 bytes. kExhausted as above.
[[nodiscard]] Result<Buffer> allocate_rows(uint64_t bytes);

}  // namespace ballast
