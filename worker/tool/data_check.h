// What is wrong with a job's data, before a worker finds it: chunks that are missing, cut short or
// damaged, values that training cannot use, labels that the model has no output for. Reads the data
// sets; one thread.
#pragma once

#include <cstdint>

#include "common/config/job_config.h"
#include "worker/tool/finding.h"

namespace ballast {

// Data sets of at most this size are read whole in any case: a second or less.
inline constexpr uint64_t kReadWholeBytesMax = 64u << 20;

// `job` is resolved and its model checked. Sizes, heads and footers of all chunks are verified, and
// labels by the counts in the footers. With `every_byte`, or when a data set is small, all hashes
// are compared and every value and label is looked at as a worker would; otherwise a note says what
// was not read.
[[nodiscard]] Findings judge_data(const JobConfig& job, bool every_byte,
                                  uint64_t read_whole_bytes_max = kReadWholeBytesMax);

}  // namespace ballast
