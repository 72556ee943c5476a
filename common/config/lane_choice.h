// How many lanes a job has when its file does not say, and which values are near when what it says
// does not fit. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

// A number of lanes that divides `batch`. sync: the power of two >= workers; if that does not
// divide batch, the next larger divisor, up to 8 x workers. ssp and async: the largest divisor that
// is at most 8 x workers (a finer share lets lanes follow speed; more only costs calls). Never
// below workers. kInvalidInput: no divisor of batch is in that range.
[[nodiscard]] Result<uint32_t> default_lanes(Mode mode, uint32_t batch, uint32_t workers);

// The divisors of `batch` next to `lanes`, one below and one above where there are any, none below
// `lanes_min`.
[[nodiscard]] std::vector<uint32_t> nearest_lanes(uint32_t lanes, uint32_t batch,
                                                  uint32_t lanes_min);

// The multiples of `lanes` next to `batch`.
[[nodiscard]] std::vector<uint32_t> nearest_batches(uint32_t lanes, uint32_t batch);

}  // namespace ballast
