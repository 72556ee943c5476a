// The same work for every chunk of a data set, on several threads.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace ballast {

// How many threads that is.
[[nodiscard]] uint32_t chunk_threads(uint32_t threads, bool is_remote);

// Calls work(chunk) for each; with `threads`, or more of them where chunks come over a network.
// After a failure no new ones are begun; the failure that is first in the data set's order is
// returned, so that the message does not depend on the threads.
[[nodiscard]] Status for_each_chunk(const Dataset& dataset, uint32_t threads,
                                    const std::function<Status(uint32_t chunk)>& work);

}  // namespace ballast
