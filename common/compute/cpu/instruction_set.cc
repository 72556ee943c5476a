#include "common/compute/cpu/instruction_set.h"

namespace ballast::cpu {

Processor this_processor() {
  __builtin_cpu_init();
  return {.x86_64_v3 = __builtin_cpu_supports("x86-64-v3") != 0,
          .x86_64_v4 = __builtin_cpu_supports("x86-64-v4") != 0};
}

std::vector<std::string> instruction_sets_of(const Processor& processor) {
  std::vector<std::string> sets;
  if (processor.x86_64_v4) sets.emplace_back("x86-64-v4");
  if (processor.x86_64_v3) sets.emplace_back("x86-64-v3");
  return sets;
}

Result<std::string> best_instruction_set(const Processor& processor) {
  const std::vector<std::string> sets = instruction_sets_of(processor);
  if (!sets.empty()) return sets.front();
  return Status(
      Code::kInvalidInput,
      "device cpu: a processor with x86-64-v3 (AVX2 and FMA) expected, this one lacks it; "
      "run on another machine, or build Ballast on this one");
}

}  // namespace ballast::cpu
