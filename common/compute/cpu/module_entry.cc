// The way into a module, compiled into each with the back end.
#include "common/compute/cpu/cpu_backend.h"
#include "common/compute/cpu/module.h"

namespace ballast::cpu {
namespace {

std::unique_ptr<Backend> open(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(options, BALLAST_INSTRUCTION_SET);
}

constexpr Module kModule = {BALLAST_VERSION, BALLAST_INSTRUCTION_SET, open};

}  // namespace
}  // namespace ballast::cpu

extern "C" [[gnu::visibility("default")]] const ballast::cpu::Module* ballast_cpu_module() {
  return &ballast::cpu::kModule;
}
