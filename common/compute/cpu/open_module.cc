// In a portable build: the back end is a module of its own for each instruction set.
#include "common/compute/cpu/instruction_set.h"
#include "common/compute/cpu/module.h"
#include "common/compute/cpu/open_cpu.h"

namespace ballast::cpu {

std::vector<std::string> instruction_sets() {
  return instruction_sets_of(this_processor());
}

Status check_device() {
  BALLAST_ASSIGN(const std::string best, best_instruction_set(this_processor()));
  return load_module(best).status();
}

Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options) {
  BALLAST_ASSIGN(const std::string best, best_instruction_set(this_processor()));
  return open_backend(best, options);
}

Result<std::unique_ptr<Backend>> open_backend(const std::string& instruction_set,
                                              const BackendOptions& options) {
  BALLAST_ASSIGN(const Module* module, load_module(instruction_set));
  return module->open(options);
}

}  // namespace ballast::cpu
