// Memory for rows and blocks of a data set. Pure.
#pragma once

#include <cstdint>

#include "common/base/buffer.h"
#include "common/base/status.h"

namespace ballast {

// Fresh pages: not touched before they are filled, huge where it may be, for fewer address look-ups
// among scattered rows. kExhausted: the system has no more.
[[nodiscard]] Result<Buffer> map_rows(uint64_t bytes);
// For what is kept shortly: a sum that came from a file. None for 0 bytes. kExhausted as above.
[[nodiscard]] Result<Buffer> allocate_rows(uint64_t bytes);

}  // namespace ballast
