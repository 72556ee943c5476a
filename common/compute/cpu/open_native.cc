// In a build for its own machine (BALLAST_NATIVE): the back end is part of the program.
#include "common/base/check.h"
#include "common/compute/cpu/cpu_backend.h"
#include "common/compute/cpu/open_cpu.h"

namespace ballast::cpu {
namespace {

const std::string kNative = "native";

}  // namespace

std::vector<std::string> instruction_sets() {
  return {kNative};
}

Status check_device() {
  return Status();
}

Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options) {
  return open_backend(kNative, options);
}

Result<std::unique_ptr<Backend>> open_backend(const std::string& instruction_set,
                                              const BackendOptions& options) {
  BALLAST_CHECK(instruction_set == kNative);
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(options, instruction_set));
}

}  // namespace ballast::cpu
