// The instruction sets that a portable build has a CPU back end for, and which of them to take. The
// levels of the x86-64 psABI: v3 is AVX2 and FMA (Intel since 2013, AMD since 2015), v4 AVX-512.
// Pure but for this_processor().
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"

namespace ballast::cpu {

// What a processor has, and its system keeps over a switch of threads.
struct Processor {
  bool x86_64_v3 = false;
  bool x86_64_v4 = false;
};

[[nodiscard]] Processor this_processor();

// Those that the processor has, the best first.
[[nodiscard]] std::vector<std::string> instruction_sets_of(const Processor& processor);
// kInvalidInput: it has none.
[[nodiscard]] Result<std::string> best_instruction_set(const Processor& processor);

}  // namespace ballast::cpu
